"""A workspace whose folder several machines share: whose processes are whose, and what SQLite does without shared memory."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from bankmlops.errors import InvalidRequestError
from bankmlops.local import shared
from bankmlops.local.processes import ProcessIdentity, is_alive, own_identity
from bankmlops.local.training.automl_records import AutoMLRecords
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import AutoMLConfig, RunStatus
from support.trainer import DATASET


@pytest.fixture
def several_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(shared.SHARED_VARIABLE, "1")


@pytest.mark.usefixtures("several_machines")
def test_processes_of_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is told dead from another machine, and no process here is taken for one of there."""
    gone = ProcessIdentity(2**22 + 1, 1.0)
    assert not is_alive(gone)
    assert is_alive(own_identity())
    monkeypatch.setattr(socket, "gethostname", lambda: "another")
    assert is_alive(gone)


def test_one_machine() -> None:
    """Where nothing is shared a machine may change its name."""
    assert not is_alive(ProcessIdentity(2**22 + 1, 1.0, "its name of yesterday"))
    assert own_identity().host == ""


@pytest.mark.usefixtures("several_machines")
def test_records_of_a_shared_folder(tmp_path: Path) -> None:
    """The database has a rollback journal, which needs locks alone, and a run knows on which machine it trains."""
    workspace = LocalWorkspace(tmp_path / "workspace")
    records = AutoMLRecords(workspace)
    records.add("run", AutoMLConfig(dataset=DATASET), {})
    records.set_process("run", own_identity())
    assert records.read("run").process == ProcessIdentity(os.getpid(), own_identity().created, socket.gethostname())
    assert records.read("run").run.status is RunStatus.NOT_STARTED
    with workspace.database() as database:
        assert database.execute("PRAGMA journal_mode").fetchone()[0] == "delete"


def test_an_mlflow_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is named takes the place of the workspace's own store; its address may hold no password."""
    workspace = LocalWorkspace(tmp_path / "workspace")
    assert workspace.mlflow_uri.startswith("sqlite:///")
    monkeypatch.setenv(shared.MLFLOW_VARIABLE, "http://mlflow:5000")
    assert workspace.mlflow_uri == "http://mlflow:5000"
    for url in ("mlflow:5000", "sqlite:///x.db", "http://", "http://bank:s3cr3t@mlflow:5000"):
        monkeypatch.setenv(shared.MLFLOW_VARIABLE, url)
        with pytest.raises(InvalidRequestError, match="http://HOST:PORT") as refusal:
            assert workspace.mlflow_uri
        assert "s3cr3t" not in str(refusal.value)
