"""The execution service on the wire: scripts that `experiment.submit(ScriptRunConfig(...))` sends to a compute, and their end."""

from __future__ import annotations

import email
import email.policy
import io
import json
import re
import zipfile
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from bankmlops.emulator.history import runs
from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.scripts import script_jobs
from bankmlops.emulator.scripts.computes import find_compute
from bankmlops.emulator.scripts.environments import keep_unregistered
from bankmlops.emulator.scripts.script_files import check_data
from bankmlops.emulator.scripts.script_request import LOCAL, parse_script_request
from bankmlops.emulator.scripts.snapshots import find_snapshot
from bankmlops.emulator.state import Document
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import MAX_JSON_BYTES, WS, JsonBody, RawBody, Workspace
from bankmlops.errors import ConflictError, InvalidRequestError

router = Router(prefix="/execution/v1.0" + WS + "/experiments/{experiment}")

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,255}\Z")


@router.post("/snapshotrun")
def submit(workspace: Workspace, experiment: str, body: JsonBody, runId: str = "") -> Document:  # noqa: N803 - the wire's own word
    """Run a script of a snapshot on a compute. 400 for other frameworks and several nodes."""
    configuration = body.get("Configuration") or {}
    request = parse_script_request(configuration)
    find_compute(workspace, request.target)
    check_data(workspace, request)
    snapshot_id = str(body.get("SnapshotId") or "")
    find_snapshot(workspace, snapshot_id)
    _check_new(workspace, runId)
    changes = {"parentRunId": body.get("ParentRunId"), "runType": "azureml.scriptrun"}
    start_script(workspace, experiment, runId, snapshot_id, configuration, changes)
    return {"runId": runId}


@router.post("/localrun")
def submit_local(request: Request, workspace: Workspace, experiment: str, body: RawBody, runId: str = "") -> Response:  # noqa: N803
    """Run a script on "local", which is this machine as a compute is; it starts when the client has named its snapshot.

    The answer is the archive that Azure would have the client start; there is nothing in it to do.
    """
    definition = _definition(request.headers.get("content-type", ""), body)
    configuration = {**(definition.get("Configuration") or {}), "target": LOCAL}
    check_data(workspace, parse_script_request(configuration))
    if not (configuration.get("history") or {}).get("snapshotProject", True):
        raise InvalidRequestError("history.snapshot_project is False: the emulator runs a snapshot; leave it True")
    _check_new(workspace, runId)
    changes = {"parentRunId": definition.get("ParentRunId"), "runType": "azureml.scriptrun"}
    start_script(workspace, experiment, runId, "", configuration, changes)
    return Response(_invocation(), media_type="application/zip")


@router.post("/runId/{run_id}/cancel")
def cancel(workspace: Workspace, run_id: str) -> Response:
    """End the script; a finished run stays as it is."""
    run = runs.get_run(workspace, run_id)
    if run["status"] not in runs.FINAL:
        runs.update_run(workspace, run_id, {"status": "CancelRequested"})
        script_jobs.ask_to_cancel(workspace, run_id)
    return Response(status_code=200)


def start_script(
    workspace: WorkspaceState, experiment: str, run_id: str, snapshot_id: str, configuration: Document, changes: Document
) -> None:
    """Write the run down, with `changes` of its own, and have the script carried out."""
    configuration = {**configuration, "environment": keep_unregistered(workspace, configuration.get("environment") or {})}
    properties: dict[str, Any] = {
        "_azureml.ComputeTargetType": "local" if configuration["target"] == LOCAL else "amlctrain",
        "ContentSnapshotId": snapshot_id or None,
        "ProcessInfoFile": "azureml-logs/process_info.json",
        "ProcessStatusFile": "azureml-logs/process_status.json",
        "bankmlops.emulated": "true",
        **(changes.get("properties") or {}),
    }
    service = f"{workspace.emulator.base_url}/execution/v1.0{workspace.path}"
    written = {
        "status": "Preparing",
        "target": configuration["target"],
        "scriptName": configuration.get("script"),
        "runDefinition": configuration,
        "cancelUri": f"{service}/experiments/{experiment}/runId/{run_id}/cancel",
        **changes,
        "properties": properties,
    }
    runs.upsert_run(workspace, experiment, run_id, written)
    script_jobs.add_job(workspace, experiment, run_id, snapshot_id, configuration)


def _check_new(workspace: WorkspaceState, run_id: str) -> None:
    if not _RUN_ID.match(run_id):
        raise InvalidRequestError(f"run id {run_id[:300]!r}: use letters, digits, '.', '_' and '-', 256 at most")
    if runs.find_run(workspace, run_id):
        raise ConflictError(f"run {run_id} exists already")


def _definition(content_type: str, form: bytes) -> Document:
    """The run definition among the files of the form: azureml-core, _execution/_commands.py, `_start_internal_local_cloud`."""
    if len(form) > MAX_JSON_BYTES:
        raise InvalidRequestError(f"the form with the run definition has more than {MAX_JSON_BYTES} bytes")
    message = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + form, policy=email.policy.HTTP)
    for part in message.walk():
        if part.get_filename() == "definition.json":
            payload = part.get_payload(decode=True)
            try:
                definition = json.loads(payload if isinstance(payload, bytes) else b"")
            except ValueError:
                break
            return definition if isinstance(definition, dict) else {}
    raise InvalidRequestError("the form has no file definition.json with a run definition")


def _invocation() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("azureml-setup/Invocation.sh", "#!/bin/sh\nexit 0\n")
        archive.writestr("azureml-setup/Invocation.bat", "exit /b 0\r\n")
    return buffer.getvalue()
