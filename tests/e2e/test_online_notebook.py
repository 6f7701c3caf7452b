"""The notebook of the online loop, executed from its top to its bottom in a kernel of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bankmlops.datasets import synthesize_stream
from bankmlops.local.backend import LocalBackend
from bankmlops.online.stream import read_stream
from bankmlops.online.training import WindowTraining
from bankmlops.types import StreamDrift
from support.command_line import CommandLine
from support.notebooks import assert_kept_without_outputs, execute
from support.quick_bundle import train_quickly

NOTEBOOK = "online.ipynb"


def test_it_is_kept_without_outputs() -> None:
    """No output is committed, and no path of a machine: they would be somebody's."""
    assert_kept_without_outputs(NOTEBOOK)


@pytest.fixture
def command_line(tmp_path: Path) -> Iterator[CommandLine]:
    command_line = CommandLine(tmp_path)
    yield command_line
    command_line.end_processes()


def _train_before(command_line: CommandLine) -> None:
    """Leave the champion of the first labels, as an earlier execution of the notebook would have: it costs no search then."""
    folder = command_line.folder / "online-files"
    folder.mkdir()
    synthesize_stream(folder / "s.csv", folder / "s.labels.csv", 3000, 42, StreamDrift.SUDDEN, 500)
    stream = read_stream(folder / "s.csv", folder / "s.labels.csv")
    columns = stream.take(stream.arrival_order[:500])
    bundle = train_quickly(columns, folder / "periodic-0")
    training = WindowTraining(LocalBackend(command_line.workspace), "notebook", stream.label_column, 0.05, synthetic=True)
    sha256 = training.register(columns, bundle).sha256
    (bundle / "run.json").write_text(json.dumps({"run_id": "AutoML_before", "sha256": sha256}))


@pytest.mark.slow
@pytest.mark.long
def test_it_runs(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cell runs; the challenger is better after the change, and becomes a registered model."""
    for name, value in command_line.environment_of_commands().items():
        monkeypatch.setenv(name, value)
    _train_before(command_line)
    words = "rows, warm_up, minutes, retrain_every = 3000, 500, 0.05, 0"
    outputs = execute(NOTEBOOK, words, command_line.folder, 120)
    texts = "\n".join("".join(output.get("data", {}).get("text/plain", "")) for output in outputs)
    assert re.search(r"better +True", texts)
    assert re.search(r"version +1", texts)
    assert any("image/png" in output.get("data", {}) for output in outputs)
