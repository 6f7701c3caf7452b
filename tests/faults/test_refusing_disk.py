"""A full disk and a folder that takes no writes, while a pipeline runs: it waits or says why it failed, and can go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.small_disk import run_on_small_disk

pytestmark = [pytest.mark.slow, pytest.mark.system]

SCRIPT = Path(__file__).parent / "refusing_disk_script.py"


def _told(fault: str, folder: Path) -> dict[str, Any]:
    """What the script saw on a small disk of its own."""
    return run_on_small_disk(SCRIPT, 64, folder, fault, folder)


def _went_on(told: dict[str, Any]) -> None:
    """The run that met the fault has ended, for one reason if it failed, the next is completed, and nothing is left behind."""
    status, error = told["first"]
    assert status in ("Completed", "Failed")
    assert "\n" not in error
    assert told["second"] == ["Completed", ""]
    assert told["registered"] == (2 if status == "Completed" else 1)
    assert (told["running"], told["processes"]) == ([], [])


def test_a_full_disk(tmp_path: Path) -> None:
    """A trigger is refused with the reason, and once there is space the run that was under way ends, and others run."""
    told = _told("full", tmp_path)
    _went_on(told)
    assert "full" in told["refusal"] or "No space left" in told["refusal"]
    assert "\n" not in told["refusal"]


def test_a_folder_that_takes_no_writes(tmp_path: Path) -> None:
    """The run fails with the reason, and once the folder can be written to, the next one is completed."""
    told = _told("read-only", tmp_path)
    _went_on(told)
    assert told["first"][0] == "Failed"
    assert "Read-only file system" in told["first"][1]
