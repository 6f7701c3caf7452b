"""MLflow's pages on the workspace's store: served to this machine alone, and gone with Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from bankmlops.local.training.mlflow_links import MLflowLinks, announce_pages, mlflow_links
from bankmlops.local.workspace import LocalWorkspace

if TYPE_CHECKING:
    from support.trained import Trained

pytestmark = pytest.mark.slow
COMMAND = [sys.executable, "-m", "bankmlops.local.training.mlflow_ui", "--workspace"]


def test_the_pages(trained: Trained) -> None:
    """They list the run and serve its files without any other host, answer to no foreign name, and end whole with Ctrl-C."""
    server = subprocess.Popen([*COMMAND, str(trained.workspace.folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        announced = re.search(r"http://127\.0\.0\.1:\d+", server.stdout.readline())
        assert announced
        family = psutil.Process(server.pid).children(recursive=True)
        assert family
        _look_at(announced[0], trained)
        os.kill(server.pid, signal.SIGINT)
        assert server.wait(60) == 0
        assert psutil.wait_procs(family, timeout=10)[1] == []
    finally:
        server.terminate()
        server.communicate(timeout=60)


def test_links(trained: Trained) -> None:
    """While the pages are served, a run and its trials have addresses there; before that there is the command."""
    assert mlflow_links(trained.workspace, trained.run_id).command == "make mlflow-ui"
    assert mlflow_links(LocalWorkspace(trained.workspace.folder.parent / "other"), "run") == MLflowLinks()
    announce_pages(trained.workspace, "http://127.0.0.1:5000")
    links = mlflow_links(trained.workspace, trained.run_id)
    run_id = trained.records.read(trained.run_id).mlflow_run_id
    assert re.fullmatch(rf"http://127\.0\.0\.1:5000/#/experiments/\d+/runs/{run_id}\?workflowType=machine_learning", links.run)
    assert set(links.children) == {f"{trained.run_id}_0", f"{trained.run_id}_1"}
    assert mlflow_links(trained.workspace, "other") == MLflowLinks()
    (trained.workspace.folder_of("mlflow", "ui") / "served.json").unlink()


def _look_at(url: str, trained: Trained) -> None:
    run_id = trained.records.read(trained.run_id).mlflow_run_id
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        page = client.get("/").text
        assert "MLflow" in page
        assert not re.search(r"(src|href)=\"(https?:)?//", page)
        found = client.post("/api/2.0/mlflow/experiments/search", json={"max_results": 10}).json()["experiments"]
        assert "unit" in [experiment["name"] for experiment in found]
        file = client.get("/get-artifact", params={"run_id": run_id, "path": "leaderboard.csv"})
        assert file.text.startswith("iteration,algorithm")
        assert client.get("/", headers={"Host": "evil.example"}).status_code == 403


def test_no_store_yet(tmp_path: Path) -> None:
    """In a workspace where nothing was trained it says what makes a store, in one line, and makes nothing."""
    done = _run(tmp_path / "workspace")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"workspace \S+ has no MLflow store yet; .*`make local-e2e`.*\n", done.stderr)
    assert not (tmp_path / "workspace").exists()


def test_a_server_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an MLflow server is named, its address is told, and nothing is served or made here."""
    monkeypatch.setenv("BANKMLOPS_MLFLOW_URI", "http://mlflow.example:5000")
    done = _run(tmp_path / "workspace")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"BANKMLOPS_MLFLOW_URI names .* http://mlflow\.example:5000, and none are served here\n", done.stdout)
    assert not (tmp_path / "workspace").exists()


def test_a_busy_port(trained: Trained) -> None:
    """A port that is taken is named in one line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = _run(trained.workspace.folder, "--port", str(port))
    assert done.returncode == 1
    assert re.fullmatch(rf"--port {port} can't be had.*\n", done.stderr)


def _run(workspace: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, str(workspace), *words], capture_output=True, text=True, timeout=120, check=False)
