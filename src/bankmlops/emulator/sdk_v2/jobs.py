"""Jobs of Azure Resource Manager, for SDK v2: AutoML classification, carried out as SDK v1's AutoML runs are."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bankmlops.emulator.automl import automl_history, automl_jobs, jasmine
from bankmlops.emulator.automl.automl_request import parse_request
from bankmlops.emulator.history import runs
from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.sdk_v2.documents import checked_name, in_view, page, resource
from bankmlops.emulator.sdk_v2.tables import saved_dataset
from bankmlops.emulator.sdk_v2.tasks import settings_of
from bankmlops.emulator.state import Document
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import WS, JsonBody, Workspace
from bankmlops.errors import ConflictError, InvalidRequestError

router = Router(prefix=WS + "/jobs")

DEFAULT_EXPERIMENT = "Default"
_KIND = "resource_manager_job"
_KEPT = ("jobType", "taskDetails", "computeId", "environmentId", "environmentVariables", "identity", "queueSettings", "resources")
_CHANGEABLE = ("displayName", "description", "tags")


@router.put("/{name}")
def put(workspace: Workspace, name: str, body: JsonBody) -> JSONResponse:
    """Begin a job of this name; of one that was begun the display name, the description, tags, and whether it is archived."""
    properties = body.get("properties") or {}
    if workspace.documents.get(_KIND, checked_name("job", name)) is not None:
        _change(workspace, name, properties)
        return JSONResponse(_document(workspace, name), 200)
    if runs.find_run(workspace, name) is not None:
        raise ConflictError(f"run {name} exists already; give the job another name")
    _begin(workspace, name, properties)
    return JSONResponse(_document(workspace, name), 201)


@router.get("/{name}")
def get(workspace: Workspace, name: str) -> Document:
    """One job. A run that was not begun as a job, such as a trial, has no properties: the SDK then asks run history for it."""
    return _document(workspace, name)


@router.get("")
def list_all(workspace: Workspace, request: Request) -> Document:
    """The jobs, the newest first: those in use, unless `listViewType` is `All` or `ArchivedOnly`; `jobType` and `tag` choose."""
    query = request.query_params
    found = [_document(workspace, each["name"]) for each in reversed(workspace.documents.find(_KIND))]
    chosen = [each for each in in_view(found, query.get("listViewType") or "ActiveOnly") if _is_wanted(each["properties"], query)]
    return page(request, chosen)


@router.post("/{name}/cancel")
def cancel(workspace: Workspace, name: str) -> Response:
    """Have a job ended; it is `CancelRequested`, and `Canceled` when its training has ended."""
    run = runs.get_run(workspace, name)
    if not automl_jobs.ask_to_cancel(workspace.emulator, name):
        raise ConflictError(f"job {name} can't be cancelled: it is {run['status']}")
    return Response(status_code=200)


def _begin(workspace: WorkspaceState, name: str, properties: Document) -> None:
    if properties.get("jobType") != "AutoML":
        raise InvalidRequestError(f"a job of type {properties.get('jobType')!r} is not emulated through SDK v2; 'AutoML' is")
    task = properties.get("taskDetails") or {}
    compute = str(properties.get("computeId") or "serverless").rpartition("/")[2]
    settings, data_prep = settings_of(task, compute), _data_prep(workspace, task)
    parse_request(settings, data_prep)
    experiment = str(properties.get("experimentName") or DEFAULT_EXPERIMENT)
    with workspace.documents.store.transaction():
        kept = {member: properties[member] for member in _KEPT if properties.get(member) is not None}
        workspace.documents.put(_KIND, name, {"name": name, "properties": kept})
        runs.upsert_run(workspace, experiment, name, _run_of(properties, compute, settings, data_prep))
        automl_jobs.add_job(workspace, experiment, name, settings, data_prep)


def _data_prep(workspace: WorkspaceState, task: Document) -> str:
    """`DataPrepJsonString`: the datasets to train and to validate on."""
    given = {"training_data": task.get("trainingData"), "validation_data": task.get("validationData")}
    if not given["training_data"]:
        raise InvalidRequestError("trainingData is missing; give the job an Input of the type mltable")
    document: dict[str, Any] = {
        member: {"datasetId": saved_dataset(workspace, str(data.get("uri") or ""))} for member, data in given.items() if data
    }
    if task.get("testData"):
        document["test_data"] = {}
    return json.dumps(document)


def _run_of(properties: Document, compute: str, settings: str, data_prep: str) -> Document:
    asked = json.loads(settings)
    request = {
        "numIterations": asked["iterations"],
        "primaryMetric": asked["primary_metric"],
        "numCrossValidation": asked["n_cross_validations"],
        "target": compute,
        "amlSettingsJsonString": settings,
        "dataPrepJsonString": data_prep,
        "properties": properties.get("properties"),
    }
    told = {name: properties.get(name) for name in _CHANGEABLE}
    return {**told, "runType": "automl", "target": compute, "properties": jasmine.parent_properties(request)}


def _change(workspace: WorkspaceState, name: str, properties: Document) -> None:
    changes = {member: properties.get(member) for member in _CHANGEABLE}
    runs.update_run(workspace, name, {**changes, "hidden": properties.get("isArchived")})


def _is_wanted(properties: Document, query: Any) -> bool:
    kind, tag = query.get("jobType"), query.get("tag")
    if kind and properties["jobType"].lower() != kind.lower():
        return False
    name, _, value = (tag or "").partition("=")
    return not tag or (name in properties["tags"] and value in ("", properties["tags"][name]))


def _document(workspace: WorkspaceState, name: str) -> Document:
    run = runs.get_run(workspace, name)
    job = workspace.documents.get(_KIND, name)
    if job is None:
        return resource(workspace, f"jobs/{name}", None, run["createdUtc"])
    properties = {
        **job["properties"],
        "status": _status(workspace, run),
        "experimentName": runs.get_experiment(workspace, run["experimentId"])["name"],
        "displayName": run.get("displayName") or name,
        "description": run["description"],
        "tags": run["tags"],
        "properties": run["properties"],
        "isArchived": run["hidden"],
        "outputs": {},
        "services": _services(workspace, name),
    }
    return resource(workspace, f"jobs/{name}", properties, run["createdUtc"])


def _status(workspace: WorkspaceState, run: Document) -> str:
    if run["status"] in runs.FINAL:
        return str(run["status"])
    job = automl_jobs.find_job(workspace.emulator, run["runId"])
    if job is not None and job.cancel_asked:
        return "CancelRequested"
    if run["status"] == "Running" and not automl_history.is_set_up(run):
        return "Starting"
    return str(run["status"])


def _services(workspace: WorkspaceState, name: str) -> Document:
    """Where the cloud's page of the run would be; scripts print it."""
    return {"Studio": {"jobServiceType": "Studio", "endpoint": f"https://ml.azure.com/runs/{name}?wsid={workspace.path}"}}
