"""What Azure began goes on when the client dies or the cloud stumbles: another process finds it by its id alone."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from support.command_line import CommandLine

pytestmark = pytest.mark.slow
AZURE = ("--backend", "azure")


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """The command, with an emulator's environment as its only knowledge of where it works."""
    command = CommandLine(tmp_path_factory.mktemp("interrupted"))
    state = command.folder / "emulator"
    try:
        assert command("emulator", "start", "--state", state, "--ephemeral", "--time-scale", 0.04).returncode == 0
        command.environment |= json.loads(command("emulator", "env", "--state", state, "--json").stdout)
        assert command("data", "synthesize", "--rows", 600, "--seed", 3, "bank.csv").returncode == 0
        assert command(*AZURE, "data", "register", "bank.csv", "--name", "bank", "--label", "y").returncode == 0
        yield command
        command("emulator", "stop", "--state", state)
    finally:
        command.end_processes()


@pytest.fixture(scope="module")
def abandoned_run(azure: CommandLine) -> str:
    """The id of a run whose client was killed while it watched."""
    client = azure.start(*AZURE, "automl", "run", "--dataset", "bank", "--minutes", 1)
    run_id = _id_of_first_run(azure, client)
    _assert_no_secret_in_arguments(azure, client)
    client.kill()
    client.communicate(timeout=30)
    return run_id


def test_a_run_goes_on_without_its_client(azure: CommandLine, abandoned_run: str) -> None:
    """A run is watched to its end by another process, which knows its id alone, and its model can be registered."""
    assert azure.json(*AZURE, "automl", "watch", abandoned_run, "--minutes", 5)["status"] == "Completed"
    assert azure.json(*AZURE, "models", "register", abandoned_run, "--name", "bank")["run_id"] == abandoned_run


def test_a_service_that_stumbles(azure: CommandLine) -> None:
    """A service that answers 503 a few times, or slowly, is asked again."""
    for fault in (("--status", 503, "--times", 2), ("--delay", 2, "--times", 1)):
        assert azure("emulator", "fault", "/datasets", *fault).returncode == 0
        assert [found["name"] for found in azure.json(*AZURE, "data", "list")] == ["bank"]


def test_a_wrong_secret(azure: CommandLine) -> None:
    """Credentials that the cloud does not take are one line, which does not show them."""
    kept = azure.environment["AZURE_CLIENT_SECRET"]
    azure.environment["AZURE_CLIENT_SECRET"] = "not-the-secret"
    try:
        done = azure(*AZURE, "data", "list")
    finally:
        azure.environment["AZURE_CLIENT_SECRET"] = kept
    assert done.returncode == 5, done.stderr
    assert done.stderr.count("\n") == 1
    assert "not-the-secret" not in done.stdout + done.stderr


def test_a_dataset_that_is_not_there(azure: CommandLine) -> None:
    """A missing dataset is one line with its name."""
    done = azure(*AZURE, "automl", "run", "--dataset", "nobody", "--minutes", 1)
    assert done.returncode == 3
    assert "nobody" in done.stderr
    assert done.stderr.count("\n") == 1


def _id_of_first_run(azure: CommandLine, client: subprocess.Popen[str]) -> str:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert client.poll() is None, client.communicate()
        runs: list[dict[str, Any]] = azure.json(*AZURE, "automl", "list")
        if runs:
            return str(runs[0]["id"])
    raise AssertionError("no run was submitted")


def _assert_no_secret_in_arguments(azure: CommandLine, client: subprocess.Popen[str]) -> None:
    arguments = " ".join(psutil.Process(client.pid).cmdline())
    assert azure.environment["AZURE_CLIENT_SECRET"] not in arguments
