"""Opens the workspace's MLflow store: explicit, quiet, and made whole or not at all.

MLflow would otherwise phone home, ask git who is there, draw progress bars and log each migration. The import costs seconds, so
only what needs the store pays for it.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from bankmlops.errors import BackendUnavailableError
from bankmlops.local.disk import disk_errors
from bankmlops.local.shared import mlflow_server
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import RunStatus

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_ID_TAG = "bankmlops.run_id"
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
_KIND = {"mlflow.experimentKind": "custom_model_development"}  # so that MLflow's pages show training runs, and not agents
_CREATION_SECONDS = 300.0
_MLFLOW_STATUS = {RunStatus.COMPLETED: "FINISHED", RunStatus.FAILED: "FAILED", RunStatus.CANCELED: "KILLED"}


def silence() -> None:
    """Turn off MLflow's telemetry and chatter in this process and those it starts; has to precede the first import of MLflow."""
    os.environ.update(_ENVIRONMENT)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)


def store_exists(workspace: LocalWorkspace) -> bool:
    """Whether any process has made the store; a server's is there."""
    return bool(mlflow_server()) or _database(workspace).exists()


def open_store(workspace: LocalWorkspace) -> MlflowClient:
    """A client of the workspace's tracking and registry store, which is made where it is missing."""
    silence()
    from mlflow import MlflowClient

    with mlflow_errors(workspace):
        if not store_exists(workspace):
            _create(workspace)
        return MlflowClient(tracking_uri=workspace.mlflow_uri, registry_uri=workspace.mlflow_uri)


def find_experiment(client: MlflowClient, workspace: LocalWorkspace, name: str) -> str:
    """The id of the experiment, made where it is missing, with its artifacts in the workspace."""
    with workspace.lock("mlflow"):
        found = client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        location = None if mlflow_server() else (workspace.mlflow_artifacts / name).as_uri()
        return str(client.create_experiment(name, location, tags=_KIND))


def mlflow_status(status: RunStatus) -> str:
    """MLflow's word for how a run ended."""
    return _MLFLOW_STATUS[status]


@contextmanager
def mlflow_errors(workspace: LocalWorkspace) -> Iterator[None]:
    """Raise `BackendUnavailableError` with one line where the store or its disk refuses."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with disk_errors(workspace.mlflow_artifacts):
            yield
    except (MlflowException, SQLAlchemyError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise BackendUnavailableError(f"the MLflow store {mlflow_server() or _database(workspace)} refused: {reason}") from error


def _database(workspace: LocalWorkspace) -> Path:
    return workspace.folder / "mlflow" / "mlflow.db"


def _create(workspace: LocalWorkspace) -> None:
    """Make it beside its place and move it there: a process that is killed meanwhile leaves no half-made store behind."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    path = _database(workspace)
    with workspace.lock("mlflow", timeout_seconds=_CREATION_SECONDS):
        if path.exists():
            return
        waiting = path.with_name(f"new-{uuid4().hex}.db")
        try:
            store = SqlAlchemyStore(f"sqlite:///{waiting}", workspace.mlflow_artifacts.as_uri())
            store.engine.dispose()
            with closing(sqlite3.connect(waiting)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
            waiting.replace(path)
        finally:
            waiting.unlink(missing_ok=True)
