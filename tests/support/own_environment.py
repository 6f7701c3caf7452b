"""Environments apart from ours, each made from a lock of its own: Microsoft's clients that can't share our packages."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 900


class _NotInstalledError(Exception):
    """The message says why."""


def python_with(lock: str) -> Path:
    """The Python of an environment with what `requirements/{lock}.txt` holds; the test is skipped where that can't be had.

    A finished environment is kept in `.venv-{lock}`, and made anew when the lock has changed.
    """
    try:
        return _python(ROOT / "requirements" / f"{lock}.txt", ROOT / f".venv-{lock}")
    except _NotInstalledError as error:
        pytest.skip(f"{lock} can't be installed: {error}")


def _python(lock: Path, folder: Path) -> Path:
    python, stamp = folder / "bin" / "python", folder / "lock"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        stamp.unlink(missing_ok=True)
        _run(sys.executable, "-m", "venv", "--clear", folder)
        pip = (python, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input")
        _run(*pip, "install", "--no-deps", "--require-hashes", "--requirement", lock)
        _run(*pip, "check")
        stamp.write_text(wanted)
    return python


def _run(*words: object) -> None:
    command = [str(word) for word in words]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise _NotInstalledError(f"{' '.join(command[:4])} took more than {SECONDS} s") from error
    if done.returncode:
        raise _NotInstalledError((done.stderr or done.stdout).strip().splitlines()[-1][-500:])
