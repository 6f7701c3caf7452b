"""A disk that fills up while a run trains: one line says so, no half model is registered, no process stays, and it can go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.small_disk import run_on_small_disk

pytestmark = [pytest.mark.slow, pytest.mark.system]

SCRIPT = Path(__file__).parent / "full_disk_script.py"


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    """The run fails in one line about the disk; once there is space again it is resumed to its end, and its model registered."""
    told = run_on_small_disk(SCRIPT, 48, tmp_path)
    assert "\n" not in told["error"]
    assert "No space left on device" in told["error"] or "disk is full" in told["error"] or "disk I/O error" in told["error"]
    assert "free some space" in told["error"] or "has space" in told["error"]
    assert told["models_meanwhile"] == 0
    assert told["processes"] == []
    assert (told["failed"], told["resumed"], told["kept"]) == ("Failed", "Completed", True)
    assert told["model"] == "1"
