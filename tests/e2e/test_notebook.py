"""The notebook, executed from its top to its bottom in a kernel of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bankmlops.datasets import synthesize
from support.command_line import CommandLine
from support.notebooks import assert_kept_without_outputs, execute

NOTEBOOK = "pipeline.ipynb"


def test_it_is_kept_without_outputs() -> None:
    """No output is committed, and no path of a machine: they would be somebody's."""
    assert_kept_without_outputs(NOTEBOOK)


@pytest.fixture
def command_line(tmp_path: Path) -> Iterator[CommandLine]:
    command_line = CommandLine(tmp_path)
    yield command_line
    command_line("down")
    command_line.end_processes()


@pytest.mark.slow
@pytest.mark.long
def test_it_runs(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cell runs; both runs were watched to their end, and what is saved of that needs no script and no network.

    The second run has the first one's budget, so it takes the search over and costs seconds.
    """
    folder = command_line.folder
    synthesize(folder / "bank.csv", 2000, 1)
    for name, value in {**command_line.environment_of_commands(), "BANKMLOPS_DATA": str(folder / "bank.csv")}.items():
        monkeypatch.setenv(name, value)
    outputs = execute(NOTEBOOK, "minutes, minutes_again = 0.1, 0.1", folder, 280)
    watched = [output for output in outputs if "bankmlops-run" in _html(output)]
    assert len(watched) == 2
    for output in watched:
        assert "bank-training: completed" in _html(output)
        assert set(output["data"]) == {"text/plain", "text/html"}
        assert not re.search(r"<script|https?://", _html(output))
    shown = "\n".join(map(_html, outputs))
    assert "VotingEnsemble" in shown
    assert "REUSED from run" in shown
    assert any("image/png" in output.get("data", {}) for output in outputs)


def _html(output: dict[str, Any]) -> str:
    return "".join(output.get("data", {}).get("text/html", ""))
