"""Eight genuine clients of Microsoft's SDK at once, each a process of its own: none of them meets an error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.command_line import CommandLine

pytest.importorskip("azureml.core", reason="the SDK is not installed")
pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "sdk_client.py"
CLIENTS = 8
METRICS = 20


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[CommandLine]:
    """The environment of an emulator's clients."""
    command = CommandLine(tmp_path)
    try:
        command.json("emulator", "start", "--state", tmp_path / "emulator", "--ephemeral")
        command.environment |= json.loads(command("emulator", "env", "--state", tmp_path / "emulator", "--json").stdout)
        yield command
        command("emulator", "stop", "--state", tmp_path / "emulator")
    finally:
        command.end_processes()


def test_eight_clients_at_once(azure: CommandLine) -> None:
    """Each gets the workspace, logs to a run of its own, uploads a file and completes; all that it wrote is there at its end."""
    with ExitStack() as stack:
        clients = [_client(stack, azure, number) for number in range(CLIENTS)]
        for client in clients:
            assert client.stdout is not None
            assert client.stdout.readline() == "ready\n"
        for client in clients:
            assert client.stdin is not None
            client.stdin.write("\n")
            client.stdin.flush()
        ended = [client.communicate(timeout=120) for client in clients]
    for client, (output, errors) in zip(clients, ended, strict=True):
        assert client.returncode == 0, errors[-2000:]
        seen = json.loads(output.splitlines()[-1])
        assert (seen["status"], seen["metrics"], seen["files"]) == ("Completed", METRICS, ["outputs/file.txt"])


def _client(stack: ExitStack, azure: CommandLine, number: int) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    words = [sys.executable, "-W", "ignore", str(SCRIPT), str(number), str(METRICS)]
    environment: Mapping[str, str] = {**os.environ, **azure.environment}
    client = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment, cwd=azure.folder)
    stack.enter_context(client)
    stack.callback(client.kill)
    return client
