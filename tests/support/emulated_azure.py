"""An emulator of Azure ML of one's own, and this process' environment as its clients need it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.command_line import COMMAND, CommandLine


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


@contextmanager
def emulator_of(command: CommandLine, workspace: str, time_scale: str, *options: object) -> Iterator[None]:
    """Within it, what `command` runs speaks to a new emulator, and its folder names the workspace; all ends with it.

    `options` are more of `emulator start`.

    Fails where something has asked for what the emulator does not know.
    """
    state = command.folder / "state"
    names = {"subscription_id": "a-subscription", "resource_group": "a-group", "workspace_name": workspace}
    (command.folder / "config.json").write_text(json.dumps(names))
    try:
        command.json("emulator", "start", "--state", state, "--ephemeral", "--time-scale", time_scale, *options)
        command.environment |= json.loads(command("emulator", "env", "--state", state, "--json").stdout)
        yield
        assert command.json("emulator", "status", "--state", state)["unanswered"] == []
    finally:
        command("emulator", "stop", "--state", state)
        command.end_processes()


def _emulator(*words: object) -> str:
    done = subprocess.run(
        [*COMMAND, "emulator", *map(str, words)], env=os.environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
