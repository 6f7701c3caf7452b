"""What Azure began goes on when the client dies or the cloud stumbles: another process finds it by its id alone."""

from __future__ import annotations

import csv
import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from support.command_line import CommandLine

pytestmark = [pytest.mark.slow, pytest.mark.long]
AZURE = ("--backend", "azure")
# The SDK's own pauses before it asks again, in seconds.
IMPATIENT = {"AZUREML_DEFAULT_BACKOFF": "1", "AZUREML_DEFAULT_503_BACKOFF": "1"}


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """The command, with an emulator's environment as its only knowledge of where it works."""
    command = CommandLine(tmp_path_factory.mktemp("interrupted"))
    state = command.folder / "emulator"
    try:
        assert command("emulator", "start", "--state", state, "--ephemeral", "--time-scale", 0.015).returncode == 0
        command.environment |= json.loads(command("emulator", "env", "--state", state, "--json").stdout) | IMPATIENT
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
    run = _first(azure, client, "automl", "list")
    _assert_no_secret_in_arguments(azure, client)
    _kill(client)
    return str(run["id"])


@pytest.fixture(scope="module")
def watched_run(azure: CommandLine, abandoned_run: str) -> dict[str, Any]:
    """The same run, when another process, which knows its id alone, has watched it to its end."""
    run: dict[str, Any] = azure.json(*AZURE, "automl", "watch", abandoned_run, "--minutes", 5)
    return run


@pytest.fixture(scope="module")
def model(azure: CommandLine, watched_run: dict[str, Any]) -> dict[str, Any]:
    """The model that it made."""
    model: dict[str, Any] = azure.json(*AZURE, "models", "register", watched_run["id"], "--name", "bank")
    return model


@pytest.fixture(scope="module")
def abandoned_pipeline_run(azure: CommandLine, watched_run: dict[str, Any]) -> str:
    """The id of a pipeline's run whose client was killed while it watched."""
    client = azure.start(*AZURE, "pipelines", "run", "training", "--dataset", "bank", "--minutes", 1)
    run = _first(azure, client, "pipelines", "runs")
    _kill(client)
    return str(run["id"])


def test_a_run_goes_on_without_its_client(abandoned_run: str, watched_run: dict[str, Any], model: dict[str, Any]) -> None:
    """A run is watched to its end by another process, and its model can be registered."""
    assert (watched_run["id"], watched_run["status"]) == (abandoned_run, "Completed")
    assert model["run_id"] == abandoned_run


def test_a_deployment_goes_on_without_its_client(azure: CommandLine, model: dict[str, Any], abandoned_pipeline_run: str) -> None:
    """A deployment whose client was killed while it waited is found by its name, becomes healthy, and scores, whatever trains."""
    assert (
        azure("emulator", "fault", "/operations/", "--delay", 60).returncode == 0
    )  # what the client waits for while it is killed
    client = azure.start(*AZURE, "endpoints", "deploy", "abandoned", "--model", model["name"])
    found = _first(azure, client, "endpoints", "list")
    _kill(client)
    deadline = time.monotonic() + 120
    while found["state"] != "Healthy":
        assert time.monotonic() < deadline, found
        found = azure.json(*AZURE, "endpoints", "show", "abandoned")
    rows = json.dumps([_row(azure)])
    assert azure(*AZURE, "score", "abandoned", "-", stdin=rows).stdout.split() in (["yes"], ["no"])
    assert azure(*AZURE, "endpoints", "delete", "abandoned").returncode == 0


def test_a_pipeline_goes_on_without_its_client(azure: CommandLine, abandoned_pipeline_run: str) -> None:
    """A pipeline's run whose client was killed while it watched is watched to its end by another, and its model is registered."""
    ended = azure.json(*AZURE, "pipelines", "watch", abandoned_pipeline_run)
    assert (ended["status"], [step["status"] for step in ended["steps"]]) == ("Completed", ["Completed"])
    registered = azure.json(*AZURE, "models", "register", ended["outputs"]["automl_run_id"], "--name", "trained")
    assert registered["run_id"] == ended["outputs"]["automl_run_id"]


def test_a_service_that_stumbles(azure: CommandLine, model: dict[str, Any]) -> None:
    """A service that answers 503 a few times, or slowly, is asked again."""
    for fault in (("--status", 503, "--times", 2), ("--delay", 2, "--times", 1)):
        assert azure("emulator", "fault", "/models", *fault).returncode == 0
        assert model["name"] in [found["name"] for found in azure.json(*AZURE, "models", "list")]
    assert azure.json("emulator", "status")["faults"] == []


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


def _first(azure: CommandLine, client: subprocess.Popen[str], *words: str) -> dict[str, Any]:
    """The first entry of a list that is empty until the client, which goes on meanwhile, has begun something."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found: list[dict[str, Any]] = azure.json(*AZURE, *words)
        assert client.poll() is None, client.communicate()
        if found:
            return found[0]
    raise AssertionError("nothing was begun")


def _kill(client: subprocess.Popen[str]) -> None:
    client.kill()
    client.communicate(timeout=30)


def _row(azure: CommandLine) -> dict[str, str]:
    with (azure.folder / "bank.csv").open(newline="") as lines:
        return next(csv.DictReader(lines))


def _assert_no_secret_in_arguments(azure: CommandLine, client: subprocess.Popen[str]) -> None:
    arguments = " ".join(psutil.Process(client.pid).cmdline())
    assert azure.environment["AZURE_CLIENT_SECRET"] not in arguments
