"""Jasmine, Azure's AutoML service: experiments are checked, created, started and cancelled; `automl_bridge` carries them out."""

from __future__ import annotations

import uuid
from typing import Any

from starlette.responses import JSONResponse, Response

from bankmlops.emulator.automl import automl_history, automl_jobs
from bankmlops.emulator.automl.automl_request import parse_request, parse_settings
from bankmlops.emulator.history import runs
from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.state import Document
from bankmlops.emulator.storage.datasets import find_dataflow
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import WS, JsonBody, Workspace, hold
from bankmlops.errors import ConflictError, InvalidRequestError, NotFoundError

router = Router(prefix="/jasmine/v1.0" + WS + "/experimentids/{experiment}")

SETTINGS = "AMLSettingsJsonString"
DATA_PREP = "DataPrepJsonString"
_NO_SNAPSHOT = "00000000-0000-0000-0000-000000000000"


@router.post("/validation")
def validate(workspace: Workspace, body: JsonBody) -> Response:
    """204 where the experiment can be run; otherwise 200 and an error document, which the SDK raises."""
    try:
        # An AutoMLStep has its settings checked before it knows its data, and names no dataset.
        if body.get("dataPrepJsonString"):
            _check(workspace, body)
        else:
            parse_settings(body.get("amlSettingsJsonString") or "")
    except (InvalidRequestError, NotFoundError) as error:
        return JSONResponse(_validation_error(str(error)))
    return Response(status_code=204)


@router.post("/run")
def create_run(workspace: Workspace, experiment: str, body: JsonBody) -> str:
    """The id of a new run, which waits to be started."""
    _check(workspace, body)
    name = runs.get_experiment(workspace, experiment)["name"]
    run_id = f"AutoML_{uuid.uuid4()}"
    changes = {
        "runType": "automl",
        "target": body.get("target"),
        "properties": parent_properties(body),
        "tags": {"iterations": str(body.get("numIterations") or 0), **(body.get("tags") or {})},
    }
    runs.upsert_run(workspace, name, run_id, changes)
    return run_id


@router.post("/runs/{run_id}/submitSnapshotRun")
async def start_run(workspace: Workspace, experiment: str, run_id: str) -> Document:
    """Start a run that was created; the answer is held while it is set up, unless it has to wait for another."""
    run = runs.get_run(workspace, run_id)
    properties = run["properties"]
    if SETTINGS not in properties:
        raise InvalidRequestError(f"run {run_id} is not an AutoML run")
    name = runs.get_experiment(workspace, experiment)["name"]
    automl_jobs.add_job(workspace, name, run_id, properties[SETTINGS], properties[DATA_PREP])
    if len(automl_jobs.active_jobs(workspace.emulator)) == 1:
        await hold(workspace.emulator, lambda: automl_history.is_set_up(runs.get_run(workspace, run_id)))
    return {"runId": run_id}


@router.post("/cancelrun/{run_id}")
def cancel_run(workspace: Workspace, run_id: str) -> Response:
    """End a run and what it trains; the SDK asks for it only while the run is not final."""
    run = runs.get_run(workspace, run_id)
    if not automl_jobs.ask_to_cancel(workspace.emulator, run_id):
        if run["status"] in runs.FINAL:
            raise ConflictError(f"run {run_id} has ended: {run['status']}")
        raise InvalidRequestError(f"run {run_id} can't be cancelled by itself; cancel its parent {run['parentRunId']}")
    return Response(status_code=200)


def parent_properties(body: Document) -> dict[str, Any]:
    """What Azure writes on an AutoML run out of the request that made it."""
    given = {
        "num_iterations": str(body.get("numIterations") or 0),
        "training_type": "TrainFull",
        "acquisition_function": "EI",
        "primary_metric": body.get("primaryMetric"),
        "train_split": str(body.get("trainSplit") or 0),
        "acquisition_parameter": str(body.get("acquisitionParameter") or 0),
        "num_cross_validation": str(body.get("numCrossValidation") or ""),
        "target": body.get("target"),
        SETTINGS: body.get("amlSettingsJsonString"),
        DATA_PREP: body.get("dataPrepJsonString"),
        "EnableSubsampling": None,
        "runTemplate": "AutoML",
        "azureml.runsource": "automl",
        "snapshotId": _NO_SNAPSHOT,
        "ComputeTargetType": "amlcompute",
        **(body.get("properties") or {}),
    }
    return {name: value for name, value in given.items() if value is not None}


def _check(workspace: WorkspaceState, body: Document) -> None:
    request = parse_request(body.get("amlSettingsJsonString") or "", body.get("dataPrepJsonString") or "")
    find_dataflow(workspace, request.dataset_id)


def _validation_error(message: str) -> Document:
    detail = {"code": "UserError", "message": message, "target": "AutoMLConfig", "details": []}
    return {"error": {"code": "UserError", "message": message, "target": "AutoMLConfig", "details": [detail]}}
