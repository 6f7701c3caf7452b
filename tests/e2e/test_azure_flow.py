"""The whole flow through Microsoft's SDK and the emulator, as `make azure-e2e` runs it, with a short budget."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.command_line import CommandLine

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def command_line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    command_line = CommandLine(tmp_path_factory.mktemp("azure"))
    yield command_line
    command_line.end_processes()


@pytest.fixture(scope="module")
def table(command_line: CommandLine) -> Path:
    path = command_line.folder / "bank.csv"
    assert command_line("data", "synthesize", "--rows", "1500", "--seed", "5", path).returncode == 0
    return path


@pytest.fixture(scope="module")
def evidence(command_line: CommandLine, table: Path) -> dict[str, Any]:
    flow = (*("e2e", "--data", str(table), "--minutes", "0.15", "--pipeline-minutes", "0.1"), "--requests", "20")
    done = command_line(
        *("emulator", "run", "--time-scale", "0.01", "--", sys.executable, "-m", "bankmlops", "--backend", "azure"),
        *(*flow, "--evidence", "azure.json"),
        timeout=540,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    document: dict[str, Any] = json.loads((command_line.folder / "azure.json").read_text())
    return document


def test_every_step_passes(evidence: dict[str, Any]) -> None:
    """The same steps as on this machine, through the genuine SDK, all passed; and the evidence says that it was emulated."""
    assert evidence["ok"] is True
    assert evidence["backend"] == "azure"
    assert evidence["emulated"] is True
    assert [step["name"] for step in evidence["steps"] if not step["ok"]] == []
    assert len(evidence["steps"]) == 11


def test_the_model_is_real(evidence: dict[str, Any]) -> None:
    """The emulator really trained, and the container really answered."""
    assert 0.8 < evidence["automl"]["metrics"]["accuracy"] <= 1.0
    assert evidence["automl"]["trials"] >= 2
    assert set(evidence["score"]["result"]) <= {"yes", "no"}
    assert evidence["benchmark"]["failed"] == 0


def test_the_pipeline_was_triggered(evidence: dict[str, Any]) -> None:
    """The published pipeline ran to its end when its REST endpoint was called."""
    assert evidence["pipeline"]["status"] == "Completed"


def test_what_costs_money_is_released(evidence: dict[str, Any]) -> None:
    """The compute that the flow made is listed and gone."""
    assert any("cluster" in name for name in evidence["released"])
    assert evidence["left"] == []


def test_nothing_is_left_running(evidence: dict[str, Any], command_line: CommandLine) -> None:
    """The emulator and all that it served are gone."""
    assert command_line.processes() == []
