"""The execution service on the wire: scripts that `experiment.submit(ScriptRunConfig(...))` sends to a compute, and their end."""

from __future__ import annotations

import re
from typing import Any

from starlette.responses import Response

from bankmlops.emulator import runs, script_jobs
from bankmlops.emulator.computes import find_compute
from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.routing import Router
from bankmlops.emulator.script_request import parse_script_request
from bankmlops.emulator.snapshots import find_snapshot
from bankmlops.emulator.state import Document
from bankmlops.emulator.wire import WS, JsonBody, Workspace
from bankmlops.errors import ConflictError, InvalidRequestError

router = Router(prefix="/execution/v1.0" + WS + "/experiments/{experiment}")

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,255}\Z")


@router.post("/snapshotrun")
def submit(workspace: Workspace, experiment: str, body: JsonBody, runId: str = "") -> Document:  # noqa: N803 - the wire's own word
    """Run a script of a snapshot on a compute. 400 for local targets, several nodes and output datasets."""
    configuration = body.get("Configuration") or {}
    request = parse_script_request(configuration)
    find_compute(workspace, request.target)
    snapshot_id = str(body.get("SnapshotId") or "")
    find_snapshot(workspace, snapshot_id)
    if not _RUN_ID.match(runId):
        raise InvalidRequestError(f"run id {runId[:300]!r}: use letters, digits, '.', '_' and '-', 256 at most")
    _add_run(workspace, experiment, runId, snapshot_id, body)
    script_jobs.add_job(workspace, experiment, runId, snapshot_id, configuration)
    return {"runId": runId}


@router.post("/runId/{run_id}/cancel")
def cancel(workspace: Workspace, run_id: str) -> Response:
    """End the script; a finished run stays as it is."""
    run = runs.get_run(workspace, run_id)
    if run["status"] not in runs.FINAL:
        runs.update_run(workspace, run_id, {"status": "CancelRequested"})
        script_jobs.ask_to_cancel(workspace, run_id)
    return Response(status_code=200)


def _add_run(workspace: WorkspaceState, experiment: str, run_id: str, snapshot_id: str, definition: Document) -> None:
    if runs.find_run(workspace, run_id):
        raise ConflictError(f"run {run_id} exists already")
    configuration = definition["Configuration"]
    properties: dict[str, Any] = {
        "_azureml.ComputeTargetType": "amlctrain",
        "ContentSnapshotId": snapshot_id,
        "ProcessInfoFile": "azureml-logs/process_info.json",
        "ProcessStatusFile": "azureml-logs/process_status.json",
        "bankmlops.emulated": "true",
    }
    service = f"{workspace.emulator.base_url}/execution/v1.0{workspace.path}"
    changes = {
        "parentRunId": definition.get("ParentRunId"),
        "status": "Preparing",
        "runType": "azureml.scriptrun",
        "target": configuration["target"],
        "scriptName": configuration.get("script"),
        "runDefinition": configuration,
        "properties": properties,
        "cancelUri": f"{service}/experiments/{experiment}/runId/{run_id}/cancel",
    }
    runs.upsert_run(workspace, experiment, run_id, changes)
