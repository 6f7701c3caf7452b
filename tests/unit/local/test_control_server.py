"""The control server as a process: one a workspace, found from anywhere, and built to be killed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from bankmlops import client
from bankmlops.datasets import synthesize
from bankmlops.errors import BackendUnavailableError, NotFoundError
from bankmlops.local.backend import LocalBackend
from bankmlops.local.control import server as control_server
from bankmlops.local.control.files import ControlFiles
from bankmlops.local.pipelines.pipelines import Pipelines
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.runs import wait
from bankmlops.types import AutoMLConfig, DataSource, PipelineConfig, PublishedPipeline, RunStatus
from support.trainer import CONFIG

pytestmark = pytest.mark.slow


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[LocalWorkspace]:
    workspace = LocalWorkspace(tmp_path / "workspace")
    yield workspace
    Pipelines(workspace).down()
    left = _marked(workspace.folder)
    for process in left:
        process.kill()
    assert not left


def _marked(folder: Path) -> list[psutil.Process]:
    """The processes that have the folder in their arguments."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if str(folder) in (process.info["cmdline"] or []) and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


def _kill(pipelines: Pipelines) -> None:
    process = psutil.Process(pipelines.status().pid)
    process.kill()
    psutil.wait_procs([process], timeout=30)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_up_and_down(workspace: LocalWorkspace) -> None:
    """`up` starts one server and answers when it serves, `down` ends it; both as often as one likes, at the same address."""
    pipelines = Pipelines(workspace)
    url = pipelines.up()
    pid = pipelines.status().pid
    assert httpx.get(f"{url}/", trust_env=False).text == "Healthy"
    assert Pipelines(LocalWorkspace(workspace.folder)).up() == url
    assert pipelines.status().pid == pid
    pipelines.down()
    pipelines.down()
    assert not psutil.pid_exists(pid)
    assert not pipelines.status().running
    assert pipelines.up() == url


def test_a_second_server_is_refused(workspace: LocalWorkspace) -> None:
    """Exactly one runs in a workspace: another ends with one line that names the first."""
    pipelines = Pipelines(workspace)
    url = pipelines.up()
    assert f"already as process {pipelines.status().pid} at {url}" in _refusal_of_another(workspace)


def test_a_second_server_is_refused_while_the_first_starts(workspace: LocalWorkspace) -> None:
    """One that holds the workspace and does not serve yet is named too."""
    with control_server._alone(workspace, ControlFiles(workspace)):
        assert f"already as process {os.getpid()}, which starts" in _refusal_of_another(workspace)


def _refusal_of_another(workspace: LocalWorkspace) -> str:
    command = [sys.executable, "-m", "bankmlops.local.control.server", "--workspace", str(workspace.folder)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    return second.stderr


def test_its_files_are_private(workspace: LocalWorkspace) -> None:
    """The token and the database of runs are their owner's alone; the token is in no argument and no log."""
    pipelines = Pipelines(workspace)
    pipelines.up()
    files = ControlFiles(workspace)
    token = files.token()
    assert stat.S_IMODE(files.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((files.folder / "token").stat().st_mode) == 0o600
    assert token not in " ".join(psutil.Process(pipelines.status().pid).cmdline())
    assert token not in files.log.read_text() + files.output.read_text()


def test_without_a_server(workspace: LocalWorkspace) -> None:
    """What needs the server says how to start it; publishing does not need it."""
    pipelines = Pipelines(workspace)
    published = pipelines.publish(CONFIG, "1")
    assert pipelines.get_published(published.id) == published
    for ask in (lambda: pipelines.get_run("1"), pipelines.list_runs, lambda: pipelines.submit(CONFIG)):
        with pytest.raises(BackendUnavailableError, match="bankmlops up"):
            ask()  # type: ignore[operator]


def test_a_killed_servers_runs_go_on(workspace: LocalWorkspace, tmp_path: Path) -> None:
    """Killed while it trains, and again when the training has ended, it finishes the run: one training, one model version."""
    backend = LocalBackend(workspace.folder)
    pipelines = Pipelines(workspace)
    run_id = client.trigger(_publish(backend, tmp_path).endpoint, backend.authorization_header(), "killed")
    _until(lambda: bool(backend.get_pipeline_run(run_id).steps[1].run_id))
    training = backend.get_pipeline_run(run_id).steps[1].run_id
    _kill(pipelines)
    assert not backend.get_run(training).status.is_final
    backend.up()
    assert backend.get_pipeline_run(run_id).status is RunStatus.RUNNING
    _until(lambda: backend.get_run(training).status.is_final)
    _kill(pipelines)
    backend.up()
    run = wait(backend.get_pipeline_run, run_id, timeout_seconds=120)
    assert run.status is RunStatus.COMPLETED, run.error
    assert [found.id for found in backend.list_runs()] == [training]
    assert backend.get_model("bank").run_id == training
    assert backend.get_model("bank").version == run.outputs["model_version"]
    with pytest.raises(NotFoundError):
        backend.get_model("bank", str(int(run.outputs["model_version"]) + 1))


def _publish(backend: LocalBackend, folder: Path) -> PublishedPipeline:
    synthesize(folder / "bank.csv", 300, 7)
    dataset = backend.register_dataset("bank", DataSource(folder / "bank.csv", synthetic=True), "y")
    backend.up()
    automl = AutoMLConfig(dataset=dataset, experiment_timeout_minutes=0.5, allowed_models=("LogisticRegression",))
    return backend.publish_pipeline(PipelineConfig("bank-training", automl, "bank"), "1")
