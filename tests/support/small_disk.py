"""A small disk of a test's own, in a mount namespace of its own."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def run_on_small_disk(script: Path, megabytes: int, folder: Path, *arguments: object) -> dict[str, Any]:
    """What `python script ARGUMENTS... DISK` prints last, as JSON; the disk is there for it alone. Skips where none can be."""
    disk = folder / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size={megabytes}m tmpfs '{disk}'"
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root and a kernel that lets it")
    words = " ".join(f"'{word}'" for word in (script, *arguments, disk))
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f"{mount} && exec '{sys.executable}' {words}"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def fill(path: Path) -> None:
    """Take what space is left on the file's disk, down to the last byte."""
    for size in (1 << 20, 1 << 12, 1):
        try:
            with path.open("ab", buffering=0) as file:
                while file.write(b"x" * size) == size:
                    continue
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
