"""A pipeline on what many machines share: PostgreSQL, a folder with a rollback journal, a worker, and an MLflow server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from bankmlops.types import RunStatus
from support.breakable_pipelines import breakable_pipelines
from support.postgres import postgres
from support.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.system,
    pytest.mark.skipif(os.environ.get("BANKMLOPS_LONG_TESTS") != "1", reason="a minute: make test-faults"),
]


@contextmanager
def _mlflow_server(folder: Path) -> Iterator[str]:
    """An MLflow server as the guide starts it; it takes files too."""
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *words]
    with (folder / "log").open("w") as log:
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True, cwd=folder)
    try:
        wait_until(lambda: _answers(port), 300)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def test_what_many_machines_share(tmp_path: Path) -> None:
    """The worker trains and registers; the server has the run, its files and the model, and the folder no store of its own."""
    with postgres() as cluster, _mlflow_server(tmp_path / "mlflow") as url:
        environment = {
            "BANKMLOPS_DATABASE_URL": cluster.new_database(),
            "BANKMLOPS_CONTROL_STEPS": "off",
            "BANKMLOPS_SHARED_WORKSPACE": "1",
            "BANKMLOPS_MLFLOW_URI": url,
        }
        with breakable_pipelines(tmp_path, **environment) as world:
            published = world.publish()
            world.pipelines.up()
            words = [sys.executable, "-m", "support.breakable_worker", str(world.workspace.folder), "1"]
            with (tmp_path / "worker.log").open("w") as log, subprocess.Popen(words, stderr=log) as worker:
                try:
                    run = world.await_end(world.trigger(published), 180)
                finally:
                    worker.kill()
            assert run.status is RunStatus.COMPLETED, run.error
            found = world.backend.get_model("bank")
            assert (found.version, found.run_id) == (run.outputs["model_version"], run.outputs["automl_run_id"])
            assert not (world.workspace.folder / "mlflow" / "mlflow.db").exists()
            assert list((tmp_path / "mlflow" / "artifacts").rglob("leaderboard.csv"))
