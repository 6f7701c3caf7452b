"""The addresses of runs in MLflow's pages, while these are served for the workspace. Read from its store without MLflow, which
takes seconds to import: the tables `runs` and `tags` are those of its SQLAlchemy store.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bankmlops.local.disk import write_private_json
from bankmlops.local.processes import ProcessIdentity, is_alive, own_identity
from bankmlops.local.training.mlflow_store import RUN_ID_TAG, store_exists
from bankmlops.local.workspace import LocalWorkspace

_BUSY_SECONDS = 1.0
_NESTED = """
SELECT nested.run_uuid, nested.experiment_id, iteration.value
FROM runs AS nested
JOIN tags AS parent ON parent.run_uuid = nested.run_uuid AND parent.key = 'mlflow.parentRunId'
JOIN tags AS iteration ON iteration.run_uuid = nested.run_uuid AND iteration.key = 'iteration'
WHERE parent.value = ? LIMIT 1000
"""
_PARENT = """
SELECT parent.run_uuid, parent.experiment_id
FROM runs AS parent
JOIN tags AS named ON named.run_uuid = parent.run_uuid AND named.key = ? AND named.value = ?
WHERE NOT EXISTS (SELECT 1 FROM tags WHERE run_uuid = parent.run_uuid AND key = 'mlflow.parentRunId')
ORDER BY parent.start_time DESC LIMIT 1
"""


_NEWEST = "SELECT experiment_id FROM runs WHERE lifecycle_stage = 'active' ORDER BY start_time DESC LIMIT 1"
_TRAINING = "workflowType=machine_learning"  # MLflow's pages are for agents where the address does not say otherwise


@dataclass(frozen=True, slots=True)
class MLflowLinks:
    """Where a run and its trials (by their ids) are shown; `command` opens the pages where they aren't served."""

    run: str = ""
    children: Mapping[str, str] = field(default_factory=dict)
    command: str = ""


def announce_pages(workspace: LocalWorkspace, url: str) -> None:
    """Say that this process serves MLflow's pages at `url`, for as long as it lives."""
    write_private_json(_record(workspace), {"process": asdict(own_identity()), "url": url})


def first_page(workspace: LocalWorkspace) -> str:
    """The path of the page to begin with: the runs of the experiment that has the newest; all experiments where none has one."""
    try:
        with closing(_open(workspace)) as store:
            newest = store.execute(_NEWEST).fetchone()
    except sqlite3.Error:
        newest = None
    return f"/#/experiments/{newest[0]}/runs?{_TRAINING}" if newest else f"/#/experiments?{_TRAINING}"


def mlflow_links(workspace: LocalWorkspace, run_id: str) -> MLflowLinks:
    """The addresses of an AutoML run and its trials."""
    if not store_exists(workspace):
        return MLflowLinks()
    url = _served_url(workspace)
    if not url:
        return MLflowLinks(command="make mlflow-ui")
    try:
        return _links(workspace, url, run_id)
    except sqlite3.Error:  # the store is being made, or is busy: the next look finds it
        return MLflowLinks()


def _links(workspace: LocalWorkspace, url: str, run_id: str) -> MLflowLinks:
    with closing(_open(workspace)) as store:
        parent = store.execute(_PARENT, (RUN_ID_TAG, run_id)).fetchone()
        if parent is None:
            return MLflowLinks()
        nested = store.execute(_NESTED, (parent[0],)).fetchall()
    children = {f"{run_id}_{iteration}": _address(url, experiment, child) for child, experiment, iteration in nested}
    return MLflowLinks(_address(url, parent[1], parent[0]), children)


def _address(url: str, experiment_id: object, mlflow_run_id: str) -> str:
    return f"{url}/#/experiments/{experiment_id}/runs/{mlflow_run_id}?{_TRAINING}"


def _open(workspace: LocalWorkspace) -> sqlite3.Connection:
    address = (workspace.folder / "mlflow" / "mlflow.db").as_uri() + "?mode=ro"
    return sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS)


def _served_url(workspace: LocalWorkspace) -> str:
    try:
        document = json.loads(_record(workspace).read_text())
        return str(document["url"]) if is_alive(ProcessIdentity(**document["process"])) else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _record(workspace: LocalWorkspace) -> Path:
    return workspace.folder_of("mlflow", "ui") / "served.json"
