"""Pipeline runs on the wire: created with their graph, submitted, asked how they and their nodes stand, cancelled.

How a pipeline run stands is what run history says of it; only this service's words for it are made here.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

from bankmlops.emulator.history import artifacts, runs
from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.pipelines import pipeline_jobs
from bankmlops.emulator.pipelines.pipeline_graphs import add_graph, entity, find_existing_graph, find_interface
from bankmlops.emulator.pipelines.pipeline_sources import data_location
from bankmlops.emulator.pipelines.pipeline_steps import StepRequest, steps_of
from bankmlops.emulator.pipelines.pipeline_values import ASSIGNMENTS, values_of
from bankmlops.emulator.scripts.script_keeper import LOG_PATH
from bankmlops.emulator.state import Document
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import WS, JsonBody, Workspace
from bankmlops.errors import ConflictError, InvalidRequestError, NotFoundError

router = Router(prefix="/pipelines/v1.0" + WS + "/PipelineRuns")

WORKER_LOG = "logs/worker.log"
_RUN_CODES = {"NotStarted": "0", "Running": "1", "Failed": "2", "Completed": "3", "Canceled": "4"}
_NODE_CODES = {"NotStarted": "0", "Running": "2", "Failed": "3", "Completed": "4", "Canceled": "5"}


@router.post("/Unsubmitted/CreationInfoWithGraph")
def create(workspace: Workspace, body: JsonBody, experimentName: str = "") -> Document:  # noqa: N803 - the wire's own word
    """A pipeline run that waits to be submitted. 400 for a step that the emulator can't carry out."""
    creation = body.get("CreationInfo") or {}
    steps_of(workspace, body["Graph"], values_of(workspace, body.get("GraphInterface") or {}, creation))
    graph_id = add_graph(workspace, body["Graph"], body.get("GraphInterface"))
    return _as_wire(workspace, new_run(workspace, graph_id, experimentName, {"RunSource": "SDK", **creation}))


@router.post("/Submit/{run_id}")
def submit(workspace: Workspace, run_id: str) -> Response:
    """Start it."""
    start_run(workspace, run_id)
    return Response(status_code=200)


@router.get("/{run_id}")
def get(workspace: Workspace, run_id: str) -> Document:
    """One pipeline run."""
    return _as_wire(workspace, _existing(workspace, run_id))


@router.get("/Pipeline/{pipeline_id}")
def list_of_pipeline(workspace: Workspace, pipeline_id: str) -> list[Document]:
    """The runs of a published pipeline, newest first."""
    return _select(workspace, "PipelineId", pipeline_id)


@router.get("/Schedule/{schedule_id}")
def list_of_schedule(workspace: Workspace, schedule_id: str) -> list[Document]:
    """The runs that a schedule has started, newest first."""
    return _select(workspace, "ScheduleId", schedule_id)


@router.get("/Schedule/{schedule_id}/Last")
def last_of_schedule(workspace: Workspace, schedule_id: str) -> Response:
    """The newest run that a schedule has started; 204 where there is none."""
    found = _select(workspace, "ScheduleId", schedule_id)
    return JSONResponse(found[0]) if found else Response(status_code=204)


@router.delete("/{run_id}/Execution")
def cancel(workspace: Workspace, run_id: str) -> Response:
    """End it and what it trains; a finished run stays as it is."""
    _existing(workspace, run_id)
    pipeline_jobs.ask_to_cancel(workspace.emulator, run_id)
    return Response(status_code=200)


@router.post("/{run_id}/Graph/Node/StatusCode")
def node_status_code(workspace: Workspace, run_id: str, body: JsonBody) -> str:
    """How a node stands, in a code that is not that of pipeline runs."""
    return str(_node_status(workspace, _step(workspace, run_id, _node(body)))["StatusCode"])


@router.post("/{run_id}/Graph/Node/Status")
def node_status(workspace: Workspace, run_id: str, body: JsonBody) -> Document:
    """How a node stands, and its run."""
    return _node_status(workspace, _step(workspace, run_id, _node(body)))


@router.post("/{run_id}/Graph/AllNodes/Status")
def all_node_statuses(workspace: Workspace, run_id: str) -> Document:
    """How every node stands."""
    return {step.node_id: _node_status(workspace, step) for step in _steps(workspace, run_id)}


@router.post("/{run_id}/Graph/Shareable/{log}")
def node_log(workspace: Workspace, run_id: str, log: str, body: JsonBody) -> PlainTextResponse:
    """A training's iterations and log, or a script's log, as STDOUT with STDERR; JobLog is a line on how the step stands."""
    step = _step(workspace, run_id, _node(body))
    if log == "JobLog":
        return PlainTextResponse(f"step {step.name} is run {step.run_id}: {_status(workspace, step)}\n")
    return PlainTextResponse(_step_log(workspace, step) if log == "STDOUT" else "")


@router.post("/{run_id}/Outputs")
def node_outputs(workspace: Workspace, run_id: str, body: JsonBody) -> Document:
    """Where the outputs of a node are, by name."""
    step = _step(workspace, run_id, _node(body))
    return {name: output for name in step.outputs if (output := find_output(workspace, run_id, step.node_id, name))}


@router.get("/{run_id}/PipelineRunOutputs/{name}")
def pipeline_output(workspace: Workspace, run_id: str, name: str) -> Document:
    """Where an output of the pipeline is. Its name is a port of the graph or of a step."""
    for node_id, port in _ports(workspace, run_id, name):
        if output := find_output(workspace, run_id, node_id, port):
            return output
    raise NotFoundError(f"pipeline run {run_id} has no output {name} (yet)")


def new_run(
    workspace: WorkspaceState, graph_id: str, experiment: str, creation: Document, pipeline_id: str | None = None
) -> Document:
    """A pipeline run that waits to be started."""
    if not experiment:
        raise InvalidRequestError("ExperimentName is missing: name the experiment that the pipeline run belongs to")
    graph = find_existing_graph(workspace, graph_id)
    run = {
        **entity({}),
        "Description": creation.get("Description") or "",
        "GraphId": graph_id,
        "IsSubmitted": False,
        "HasErrors": False,
        "HasWarnings": False,
        **{name: creation.get(name) or {} for name in ASSIGNMENTS},
        "RunHistoryExperimentName": experiment,
        "PipelineId": pipeline_id,
        "RunSource": creation.get("RunSource") or "Unavailable",
        "RunType": creation.get("RunType") or "HTTP",
        "TotalRunSteps": len(graph.get("ModuleNodes") or []),
        "ScheduleId": creation.get("ScheduleId"),
        "Properties": creation.get("Properties") or {},
        "tags": creation.get("tags") or {},
    }
    workspace.documents.put("pipeline_run", run["Id"], run)
    return run


def start_run(workspace: WorkspaceState, run_id: str) -> Document:
    """Put the run into run history, and have it carried out. Raises `ConflictError` for one that was started before."""
    run = _existing(workspace, run_id)
    if run["IsSubmitted"]:
        raise ConflictError(f"pipeline run {run_id} was submitted before")
    values = values_of(workspace, find_interface(workspace, run["GraphId"]), run)
    steps = steps_of(workspace, find_existing_graph(workspace, run["GraphId"]), values)
    changes = {
        "runType": "azureml.PipelineRun",
        "properties": {
            "azureml.runsource": "azureml.PipelineRun",
            "runSource": run["RunSource"],
            "runType": run["RunType"],
            "azureml.parameters": json.dumps(values.texts),
            "azureml.pipelineid": run["PipelineId"] or "",
        },
        "tags": run["tags"],
    }
    runs.upsert_run(workspace, run["RunHistoryExperimentName"], run_id, changes)
    pipeline_jobs.add_job(workspace, run["RunHistoryExperimentName"], run_id, steps)
    return _as_wire(
        workspace, workspace.documents.update("pipeline_run", run_id, lambda each: each.update(IsSubmitted=True)) or run
    )


def put_output(workspace: WorkspaceState, run_id: str, node_id: str, name: str, datastore: str, path: str) -> None:
    """Write down where an output of a node is."""
    workspace.documents.put("pipeline_output", f"{run_id}/{node_id}/{name}", {"datastore": datastore, "path": path}, group=run_id)


def find_output(workspace: WorkspaceState, run_id: str, node_id: str, name: str) -> Document | None:
    """Where an output of a node is, as the SDK reads it; None while it is not there."""
    found = workspace.documents.get("pipeline_output", f"{run_id}/{node_id}/{name}")
    if found is None:
        return None
    location = data_location(workspace, found["datastore"], found["path"])
    return {"DataTypeId": "AnyFile", "LogicalSizeInBytes": 0, "PhysicalSizeInBytes": 0, "Hash": None, "DataLocation": location}


def _existing(workspace: WorkspaceState, run_id: str) -> Document:
    run = workspace.documents.get("pipeline_run", run_id)
    if run is None:
        raise NotFoundError(f"pipeline run {run_id} is not in workspace {workspace.name}")
    return run


def _as_wire(workspace: WorkspaceState, run: Document) -> Document:
    history = runs.find_run(workspace, run["Id"]) or {}
    status = {
        "StatusCode": _RUN_CODES.get(str(history.get("status") or "NotStarted"), "1"),
        "StatusDetail": ((history.get("error") or {}).get("error") or {}).get("message"),
        "CreationTime": run["CreatedDate"],
        "EndTime": history.get("endTimeUtc"),
    }
    return {**run, "Status": status}


def _select(workspace: WorkspaceState, member: str, value: str) -> list[Document]:
    found = [run for run in workspace.documents.find("pipeline_run") if run[member] == value]
    return [_as_wire(workspace, run) for run in reversed(found)]


def _node(body: Any) -> str:
    if not isinstance(body, list) or not body:
        raise InvalidRequestError("the body is a list whose last item is a node's id")
    return str(body[-1])


def _steps(workspace: WorkspaceState, run_id: str) -> tuple[StepRequest, ...]:
    _existing(workspace, run_id)
    job = pipeline_jobs.find_job(workspace.emulator, run_id)
    return job.steps if job else ()


def _step(workspace: WorkspaceState, run_id: str, node_id: str) -> StepRequest:
    for step in _steps(workspace, run_id):
        if step.node_id == node_id:
            return step
    raise NotFoundError(f"pipeline run {run_id} has no node {node_id}")


def _step_log(workspace: WorkspaceState, step: StepRequest) -> str:
    """A line an iteration, and what the training or the script itself has written."""
    if runs.find_run(workspace, step.run_id) is None:
        return ""
    children = runs.list_children(workspace, step.run_id)
    trials = [child for child in children if child["properties"].get("runTemplate") == "automl_child"]
    lines = [_iteration_line(trial["properties"], trial["status"]) for trial in trials]
    container = f"dcid.{step.run_id}"
    logs = [each for each in (WORKER_LOG, LOG_PATH) if artifacts.list_paths(workspace, artifacts.RUN_ORIGIN, container, each)]
    files = [artifacts.get_blob(workspace, artifacts.RUN_ORIGIN, container, each).path for each in logs]
    lines += [file.read_text(errors="replace") for file in files]
    return "\n".join(lines)


def _iteration_line(properties: Document, status: str) -> str:
    told = f"{properties['primary_metric']} {properties['score']} in {properties['fit_time']} s, {status}"
    return f"iteration {properties['iteration']}: {properties['run_algorithm']}, {told}"


def _status(workspace: WorkspaceState, step: StepRequest) -> str:
    run = runs.find_run(workspace, step.run_id)
    return str(run["status"]) if run else "NotStarted"


def _node_status(workspace: WorkspaceState, step: StepRequest) -> Document:
    run = runs.find_run(workspace, step.run_id) or {}
    return {
        "StatusCode": _NODE_CODES.get(_status(workspace, step), "2"),
        "RunId": step.run_id if run else None,
        "CreationTime": run.get("createdUtc"),
        "StartTime": run.get("startTimeUtc"),
        "EndTime": run.get("endTimeUtc"),
    }


def _ports(workspace: WorkspaceState, run_id: str, name: str) -> list[tuple[str, str]]:
    graph = find_existing_graph(workspace, _existing(workspace, run_id)["GraphId"])
    sources = [
        edge["SourceOutputPort"]
        for edge in graph.get("Edges") or []
        if (edge.get("DestinationInputPort") or {}).get("GraphPortName") == name
    ]
    exported = [(str(source["NodeId"]), str(source["PortName"])) for source in sources]
    return exported + [(step.node_id, name) for step in _steps(workspace, run_id) if name in step.outputs]
