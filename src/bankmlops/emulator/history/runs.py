"""Experiments and runs as Azure's run history keeps them; the routers write them, and so does whoever carries a run out."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.state import Document
from bankmlops.emulator.web.wire import now
from bankmlops.errors import ConflictError, NotFoundError

FINAL = frozenset({"Completed", "Failed", "Canceled"})
MAX_WARNINGS = 100
_MERGED = ("properties", "tags")
_ARCHIVED = "~"  # before an archived experiment's id, in place of its name; no experiment's name begins so


def find_experiment(workspace: WorkspaceState, name_or_id: str) -> Document | None:
    """The experiment of this name or this id, or None."""
    found = workspace.documents.get("experiment", name_or_id)
    if found is None and (pointer := workspace.documents.get("experiment_id", name_or_id)):
        found = workspace.documents.get("experiment", pointer["name"])
    return found


def get_experiment(workspace: WorkspaceState, name_or_id: str) -> Document:
    """The experiment. Raises `NotFoundError`."""
    found = find_experiment(workspace, name_or_id)
    if found is None:
        raise NotFoundError(f"experiment {name_or_id} is not in workspace {workspace.name}")
    return found


def experiment_key(workspace: WorkspaceState, name_or_id: str) -> str:
    """Under which key the experiment's document lies. Raises `NotFoundError`."""
    experiment = get_experiment(workspace, name_or_id)
    return f"{_ARCHIVED}{experiment['experimentId']}" if experiment["archivedTime"] else str(experiment["name"])


def ensure_experiment(workspace: WorkspaceState, name: str) -> Document:
    """The experiment of this name, made where there is none."""

    def create() -> Document:
        experiment_id = str(uuid.uuid4())
        workspace.documents.put("experiment_id", experiment_id, {"name": name})
        return {
            "experimentId": experiment_id,
            "name": name,
            "description": None,
            "createdUtc": now(),
            "tags": {},
            "archivedTime": None,
            "latestRunCreatedUtc": None,
            "artifactLocation": None,
        }

    return workspace.documents.get_or_create("experiment", name, create)


def set_archived(workspace: WorkspaceState, name_or_id: str, archived: bool) -> Document:
    """Archive an experiment or bring it back. An archived one leaves its name free: who writes to the name makes another.

    Raises `NotFoundError`, and `ConflictError` where an experiment in use has the name by now.
    """
    documents = workspace.documents
    with documents.store.transaction():
        experiment = get_experiment(workspace, name_or_id)
        if bool(experiment["archivedTime"]) == archived:
            return experiment
        name, experiment_id = str(experiment["name"]), str(experiment["experimentId"])
        if not archived and documents.get("experiment", name):
            raise ConflictError(f"experiment {name} is in use: an archived one can't be reactivated beside another of its name")
        old, new = (name, f"{_ARCHIVED}{experiment_id}") if archived else (f"{_ARCHIVED}{experiment_id}", name)
        experiment["archivedTime"] = now() if archived else None
        documents.delete("experiment", old)
        documents.put("experiment", new, experiment)
        documents.put("experiment_id", experiment_id, {"name": new})
        return experiment


def find_run(workspace: WorkspaceState, run_id: str) -> Document | None:
    """The run, or None."""
    return workspace.documents.get("run", run_id)


def get_run(workspace: WorkspaceState, run_id: str) -> Document:
    """The run. Raises `NotFoundError`."""
    run = find_run(workspace, run_id)
    if run is None:
        raise NotFoundError(f"Run {run_id} was not found in workspace {workspace.name}")
    return run


def upsert_run(workspace: WorkspaceState, experiment_name: str, run_id: str, changes: Document) -> Document:
    """Create the run or change it: `properties` and `tags` merge, a None is left out (a tag may be one), all else replaces."""
    documents = workspace.documents
    with documents.store.transaction():
        experiment = ensure_experiment(workspace, experiment_name)
        run = documents.get("run", run_id) or _new_run(workspace, experiment, run_id)
        _merge(run, changes)
        parent = documents.get("run", run["parentRunId"]) if run["parentRunId"] else None
        run["rootRunId"] = parent["rootRunId"] if parent else run_id
        documents.put("run", run_id, run, group=run["experimentId"], family=run["rootRunId"])
    return run


def update_run(workspace: WorkspaceState, run_id: str, changes: Document) -> Document:
    """Change an existing run, by the rules of `upsert_run`. Raises `NotFoundError`."""
    run = workspace.documents.update("run", run_id, lambda document: _merge(document, changes))
    if run is None:
        raise NotFoundError(f"Run {run_id} was not found in workspace {workspace.name}")
    return run


def set_status(workspace: WorkspaceState, run_id: str, status: str) -> Document:
    """Move the run on; its first status sets its start, a final one its end, and a final one stays. Raises `NotFoundError`."""

    def change(run: Document) -> None:
        if run["status"] in FINAL:
            return
        moment = now()
        run["status"] = status
        run["startTimeUtc"] = run["startTimeUtc"] or moment
        if status in FINAL:
            run["endTimeUtc"] = moment

    run = workspace.documents.update("run", run_id, change)
    if run is None:
        raise NotFoundError(f"Run {run_id} was not found in workspace {workspace.name}")
    return run


def add_warning(workspace: WorkspaceState, run_id: str, source: str, message: str) -> None:
    """Write one more warning on the run; the newest `MAX_WARNINGS` stay."""

    def change(run: Document) -> None:
        run["warnings"] = [*(run.get("warnings") or []), {"source": source, "message": message}][-MAX_WARNINGS:]

    workspace.documents.update("run", run_id, change)


def list_children(workspace: WorkspaceState, run_id: str) -> list[Document]:
    """The run's direct children, oldest first. Raises `NotFoundError`."""
    family = list_family(workspace, get_run(workspace, run_id)["rootRunId"])
    return [run for run in family if run["parentRunId"] == run_id]


def list_family(workspace: WorkspaceState, root_run_id: str) -> list[Document]:
    """A run that has no parent and all that descend from it, oldest first."""
    return workspace.documents.find_family("run", root_run_id)


def newest_runs(workspace: WorkspaceState, experiment_id: str) -> Iterator[Document]:
    """The runs of an experiment, newest first, read as they are asked for."""
    return workspace.documents.newest("run", experiment_id)


def _merge(run: Document, changes: Document) -> None:
    for key, value in changes.items():
        if value is None:
            continue
        if key in _MERGED:
            run[key].update({name: text for name, text in value.items() if text is not None or key == "tags"})
        else:
            run[key] = value


def _new_run(workspace: WorkspaceState, experiment: Document, run_id: str) -> dict[str, Any]:
    secrets = workspace.emulator.secrets
    return {
        "runNumber": workspace.documents.next_number(f"run/{experiment['experimentId']}"),
        "runId": run_id,
        "rootRunId": run_id,
        "parentRunId": None,
        "experimentId": experiment["experimentId"],
        "runUuid": str(uuid.uuid4()),
        "dataContainerId": f"dcid.{run_id}",
        "status": "NotStarted",
        "createdUtc": now(),
        "startTimeUtc": None,
        "endTimeUtc": None,
        "runType": None,
        "target": "local",
        "name": None,
        "description": None,
        "hidden": False,
        "userId": secrets.user_id,
        "createdBy": {
            "userObjectId": secrets.user_id,
            "userPuId": secrets.user_id,
            "userIdp": None,
            "userAltSecId": None,
            "userIss": f"https://sts.windows.net/{secrets.tenant_id}/",
            "userTenantId": secrets.tenant_id,
            "userName": "Emulator User",
        },
        "properties": {},
        "tags": {},
        "token": None,
        "heartbeatEnabled": False,
        "options": {"generateDataContainerIdIfNotSpecified": True},
    }
