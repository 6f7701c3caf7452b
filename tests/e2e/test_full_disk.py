"""A disk that fills up while a run trains: one line says so, no half model is registered, no process stays, and it can go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.system]

SCRIPT = Path(__file__).parent / "full_disk_script.py"


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    """The run fails in one line about the disk; once there is space again it is resumed to its end, and its model registered."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=48m tmpfs '{disk}'"
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root and a kernel that lets it")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f"{mount} && exec '{sys.executable}' '{SCRIPT}' '{disk}'"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert "\n" not in told["error"]
    assert "No space left on device" in told["error"] or "disk is full" in told["error"] or "disk I/O error" in told["error"]
    assert "free some space" in told["error"] or "has space" in told["error"]
    assert told["models_meanwhile"] == 0
    assert told["processes"] == []
    assert (told["failed"], told["resumed"], told["kept"]) == ("Failed", "Completed", True)
    assert told["model"] == "1"
