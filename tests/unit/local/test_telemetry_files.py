"""What an endpoint recorded is copied from wherever its process, or its container, wrote it."""

from __future__ import annotations

from pathlib import Path

from bankmlops.local.serving.container_files import state_folder
from bankmlops.local.serving.telemetry_files import copy_telemetry


def test_oldest_first_and_nothing_else(tmp_path: Path) -> None:
    """Both generations of both files are copied, and neither keys nor settings."""
    folder = tmp_path / "endpoint"
    folder.mkdir()
    for name in ("telemetry.jsonl", "collected.jsonl", "telemetry.1.jsonl", "keys.json", "service.json"):
        (folder / name).write_text(name)
    copied = copy_telemetry(folder, tmp_path / "to")
    assert [path.name for path in copied] == ["telemetry.1.jsonl", "telemetry.jsonl", "collected.jsonl"]
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == sorted(path.name for path in copied)


def test_of_a_container(tmp_path: Path) -> None:
    """A container writes into its state folder."""
    state = state_folder(tmp_path / "endpoint")
    state.mkdir(parents=True)
    (state / "telemetry.jsonl").write_text("recorded")
    (copied,) = copy_telemetry(tmp_path / "endpoint", tmp_path / "to")
    assert copied.read_text() == "recorded"


def test_nothing_was_recorded(tmp_path: Path) -> None:
    """That is no error."""
    assert copy_telemetry(tmp_path / "endpoint", tmp_path / "to") == ()
