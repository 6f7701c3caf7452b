"""An emulator of Azure ML of one's own, and this process' environment as its clients need it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.command_line import COMMAND


@contextmanager
def emulated_azure(state: Path, time_scale: float) -> Iterator[None]:
    """Within it, Microsoft's SDK in this process speaks to a new emulator, which ends with it.

    The SDK's native reader keeps the first proxy that it sees, so a process can do this once.
    """
    _emulator("start", "--state", state, "--ephemeral", "--time-scale", time_scale)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in json.loads(_emulator("env", "--state", state, "--json")).items():
                patch.setenv(name, value)
            yield
    finally:
        _emulator("stop", "--state", state)


def _emulator(*words: object) -> str:
    done = subprocess.run(
        [*COMMAND, "emulator", *map(str, words)], env=os.environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
