"""Published pipelines and pipeline endpoints on the wire, and the REST triggers that start a run of one."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.pipelines.pipeline_graphs import add_graph, entity, find_existing_graph, find_interface
from bankmlops.emulator.pipelines.pipeline_runs import new_run, start_run
from bankmlops.emulator.pipelines.pipeline_steps import steps_of
from bankmlops.emulator.pipelines.pipeline_values import values_of
from bankmlops.emulator.state import Document
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import WS, JsonBody, Workspace, now
from bankmlops.errors import ConflictError, InvalidRequestError, NotFoundError

router = Router(prefix="/pipelines/v1.0" + WS)

ACTIVE = "0"
_STATUSES = {"0": "0", "1": "1", "2": "2", "Active": "0", "Deprecated": "1", "Disabled": "2"}
_WORDS = {"0": "Active", "1": "Deprecated", "2": "Disabled"}


@router.post("/Pipelines/Create")
def publish(workspace: Workspace, body: JsonBody) -> Document:
    """A pipeline that never changes, with a URL that starts it."""
    if not body.get("Name"):
        raise InvalidRequestError("Name is missing: a published pipeline has a name")
    graph = body.get("Graph") or {}
    interface = body.get("GraphInterface") or {}
    steps_of(workspace, graph, values_of(workspace, interface, body))
    pipeline = {
        **entity({}),
        "Name": body["Name"],
        "Description": body.get("Description"),
        "Version": body.get("Version"),
        "GraphId": add_graph(workspace, graph, interface),
        "TotalRunSteps": len(graph.get("ModuleNodes") or []),
        "ParameterAssignments": {},
        "DataSetDefinitionValueAssignments": {},
        "ContinueRunOnStepFailure": bool(body.get("ContinueRunOnStepFailure")),
        "EnableNotification": bool(body.get("EnableNotification")),
        "Properties": body.get("Properties") or {},
    }
    workspace.documents.put("published_pipeline", pipeline["Id"], pipeline)
    return _pipeline_as_wire(workspace, pipeline)


@router.get("/Pipelines")
def list_pipelines(workspace: Workspace, activeOnly: bool = True) -> list[Document]:  # noqa: N803 - the wire's own word
    """The published pipelines, newest first."""
    found = [each for each in workspace.documents.find("published_pipeline") if not activeOnly or each["EntityStatus"] == ACTIVE]
    return [_pipeline_as_wire(workspace, each) for each in reversed(found)]


@router.get("/Pipelines/{pipeline_id}")
def get_pipeline(workspace: Workspace, pipeline_id: str) -> Document:
    """One published pipeline."""
    return _pipeline_as_wire(workspace, find_pipeline(workspace, pipeline_id))


@router.put("/Pipelines/{pipeline_id}/status")
def set_pipeline_status(workspace: Workspace, pipeline_id: str, body: JsonBody) -> Response:
    """Enable or disable it."""
    find_pipeline(workspace, pipeline_id)
    changes = {"EntityStatus": checked_status(body), "LastModifiedDate": now()}
    workspace.documents.update("published_pipeline", pipeline_id, lambda pipeline: pipeline.update(changes))
    return Response(status_code=200)


@router.post("/PipelineRuns/PipelineSubmit/{pipeline_id}")
def trigger(workspace: Workspace, pipeline_id: str, body: JsonBody) -> Document:
    """The REST endpoint of a published pipeline: start a run of it. 409 where it is disabled."""
    return start_pipeline(workspace, pipeline_id, body)


@router.post("/PipelineEndpoints/Create")
def create_endpoint(workspace: Workspace, body: JsonBody) -> Document:
    """A name and a URL for a published pipeline, which can be given others later."""
    name, pipeline_id = str(body.get("Name") or ""), str(body.get("PipelineId") or "")
    find_pipeline(workspace, pipeline_id)
    with workspace.documents.store.transaction():
        if not name or _endpoint_named(workspace, name):
            raise ConflictError(f"pipeline endpoint {name!r}: the name is taken or empty")
        endpoint = {
            **entity({}),
            "Name": name,
            "Description": body.get("Description"),
            "DefaultVersion": "0",
            "PipelineVersionList": [{"Version": "0", "PipelineId": pipeline_id}],
            "Properties": body.get("Properties") or {},
            "SwaggerUrl": None,
            "tags": {},
        }
        workspace.documents.put("pipeline_endpoint", endpoint["Id"], endpoint)
    return _endpoint_as_wire(workspace, endpoint)


@router.get("/PipelineEndpoints")
def list_endpoints(workspace: Workspace, activeOnly: bool = True) -> list[Document]:  # noqa: N803 - the wire's own word
    """The pipeline endpoints."""
    found = [each for each in workspace.documents.find("pipeline_endpoint") if not activeOnly or each["EntityStatus"] == ACTIVE]
    return [_endpoint_as_wire(workspace, each) for each in found]


@router.get("/PipelineEndpoints/Name")
def find_endpoint(workspace: Workspace, Name: str) -> Document:  # noqa: N803 - the wire's own word
    """The pipeline endpoint of this name, or 404."""
    found = _endpoint_named(workspace, Name)
    if found is None:
        raise NotFoundError(f"pipeline endpoint {Name} is not in workspace {workspace.name}")
    return _endpoint_as_wire(workspace, found)


@router.get("/PipelineEndpoints/Id/{endpoint_id}")
def get_endpoint(workspace: Workspace, endpoint_id: str) -> Document:
    """One pipeline endpoint."""
    return _endpoint_as_wire(workspace, _existing_endpoint(workspace, endpoint_id))


@router.get("/PipelineEndpoints/{endpoint_id}/pipelines")
def list_endpoint_pipelines(workspace: Workspace, endpoint_id: str) -> list[Document]:
    """The published pipelines behind an endpoint."""
    versions = _existing_endpoint(workspace, endpoint_id)["PipelineVersionList"]
    return [get_pipeline(workspace, each["PipelineId"]) for each in versions]


@router.put("/PipelineEndpoints/{endpoint_id}")
def update_endpoint(workspace: Workspace, endpoint_id: str, body: JsonBody) -> Document:
    """Another default version, one more version, another description or status."""
    endpoint = _existing_endpoint(workspace, endpoint_id)
    versions = [
        {"Version": str(each["Version"]), "PipelineId": each["PipelineId"]} for each in body.get("PipelineVersionList") or []
    ]
    for version in versions:
        find_pipeline(workspace, version["PipelineId"])
    changes = {
        "Name": body.get("Name") or endpoint["Name"],
        "Description": body.get("Description"),
        "DefaultVersion": str(body.get("DefaultVersion") or endpoint["DefaultVersion"]),
        "EntityStatus": checked_status(body.get("EntityStatus", endpoint["EntityStatus"])),
        "PipelineVersionList": versions or endpoint["PipelineVersionList"],
        "LastModifiedDate": now(),
    }
    updated = workspace.documents.update("pipeline_endpoint", endpoint_id, lambda each: each.update(changes))
    return _endpoint_as_wire(workspace, updated or endpoint)


@router.post("/PipelineRuns/PipelineEndpointSubmit/Id/{endpoint_id}/{version}")
def trigger_version(workspace: Workspace, endpoint_id: str, version: str, body: JsonBody) -> Document:
    """Start a run of one version of a pipeline endpoint, as `PipelineEndpoint.submit(pipeline_version=)` asks."""
    return trigger_endpoint(workspace, endpoint_id, body, version)


@router.post("/PipelineRuns/PipelineEndpointSubmit/Id/{endpoint_id}")
def trigger_endpoint(workspace: Workspace, endpoint_id: str, body: JsonBody, pipelineVersion: str = "") -> Document:  # noqa: N803
    """The REST endpoint of a pipeline endpoint: start a run of its default version, or of the version asked for."""
    endpoint = _existing_endpoint(workspace, endpoint_id)
    if endpoint["EntityStatus"] != ACTIVE:
        raise ConflictError(f"pipeline endpoint {endpoint['Name']} is {_WORDS[endpoint['EntityStatus']]}; enable it first")
    return start_pipeline(workspace, endpoint_pipeline(workspace, endpoint_id, pipelineVersion), body)


def start_pipeline(workspace: WorkspaceState, pipeline_id: str, submission: Document) -> Document:
    """Start a run of a published pipeline. Raises `ConflictError` where it is not active."""
    pipeline = find_pipeline(workspace, pipeline_id)
    if pipeline["EntityStatus"] != ACTIVE:
        raise ConflictError(f"pipeline {pipeline['Name']} is {_WORDS[pipeline['EntityStatus']]}; enable it first")
    graph_id = pipeline["GraphId"]
    steps_of(
        workspace, find_existing_graph(workspace, graph_id), values_of(workspace, find_interface(workspace, graph_id), submission)
    )
    run = new_run(workspace, graph_id, str(submission.get("ExperimentName") or ""), submission, pipeline_id)
    return start_run(workspace, run["Id"])


def find_pipeline(workspace: WorkspaceState, pipeline_id: str) -> Document:
    """The published pipeline. Raises `NotFoundError`."""
    pipeline = workspace.documents.get("published_pipeline", pipeline_id)
    if pipeline is None:
        raise NotFoundError(f"published pipeline {pipeline_id} is not in workspace {workspace.name}")
    return pipeline


def endpoint_pipeline(workspace: WorkspaceState, endpoint_id: str, version: str = "") -> str:
    """The id of the published pipeline behind an endpoint's version, the default one where none is named."""
    endpoint = _existing_endpoint(workspace, endpoint_id)
    wanted = version or endpoint["DefaultVersion"]
    for each in endpoint["PipelineVersionList"]:
        if each["Version"] == wanted:
            return str(each["PipelineId"])
    raise NotFoundError(f"pipeline endpoint {endpoint['Name']} has no version {wanted}")


def checked_status(value: Any) -> str:
    """The service's code for a status that may come as a code or as a word."""
    status = _STATUSES.get(str(value))
    if status is None:
        raise InvalidRequestError(f"status {value!r}: choose one of {', '.join(_STATUSES)}")
    return status


def _existing_endpoint(workspace: WorkspaceState, endpoint_id: str) -> Document:
    endpoint = workspace.documents.get("pipeline_endpoint", endpoint_id)
    if endpoint is None:
        raise NotFoundError(f"pipeline endpoint {endpoint_id} is not in workspace {workspace.name}")
    return endpoint


def _endpoint_named(workspace: WorkspaceState, name: str) -> Document | None:
    return next((each for each in workspace.documents.find("pipeline_endpoint") if each["Name"] == name), None)


def _pipeline_as_wire(workspace: WorkspaceState, pipeline: Document) -> Document:
    return {**pipeline, "Url": _url(workspace, f"PipelineRuns/PipelineSubmit/{pipeline['Id']}")}


def _endpoint_as_wire(workspace: WorkspaceState, endpoint: Document) -> Document:
    return {**endpoint, "Url": _url(workspace, f"PipelineRuns/PipelineEndpointSubmit/Id/{endpoint['Id']}")}


def _url(workspace: WorkspaceState, path: str) -> str:
    return f"{workspace.emulator.base_url}/pipelines/v1.0{workspace.path}/{path}"
