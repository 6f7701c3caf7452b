"""Run history on the wire: experiments and runs. The SDK names an experiment by name or by id; both are served everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from bankmlops.emulator.history import artifacts, filters, runs
from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.state import Document
from bankmlops.emulator.web import tokens
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import WS, JsonBody, Workspace
from bankmlops.errors import InvalidRequestError, NotFoundError

router = Router(prefix="/history/v1.0" + WS)

_BY_NAME = "/experiments/{experiment}"
_BY_ID = "/experimentids/{experiment}"
_EVENTS = {
    "Microsoft.MachineLearning.Run.Start": "Running",
    "Microsoft.MachineLearning.Run.Completed": "Completed",
    "Microsoft.MachineLearning.Run.Failed": "Failed",
    "Microsoft.MachineLearning.Run.Canceled": "Canceled",
    "Microsoft.MachineLearning.Run.Cancelled": "Canceled",
}
_ERROR = "Microsoft.MachineLearning.Run.Error"
_WARNING = "Microsoft.MachineLearning.Run.Warning"
DEFAULT_PAGE = 1000
NEWEST_FIRST = "CreatedUtc desc"


@router.post("/experiments:query")
def query_experiments(workspace: Workspace, body: JsonBody) -> Document:
    """The experiments that a filter lets through: those in use, unless the view is `All` or `ArchivedOnly`."""
    view = str(body.get("viewType") or "ActiveOnly")
    found = [each for each in workspace.documents.find("experiment") if view == "All" or _is_in_view(each, view)]
    return _page(reversed(found), body)


@router.get(_BY_NAME)
@router.get(_BY_ID)
async def get_experiment(workspace: Workspace, experiment: str) -> Document:
    """One experiment, or 404: the SDK then creates it."""
    return runs.get_experiment(workspace, experiment)


@router.post(_BY_NAME)
async def create_experiment(workspace: Workspace, experiment: str) -> Document:
    """The experiment of this name, new or old."""
    return runs.ensure_experiment(workspace, experiment)


@router.patch(_BY_ID)
async def update_experiment(workspace: Workspace, experiment: str, body: JsonBody) -> Document:
    """Tags merge; the description replaces; `archive` puts it aside or brings it back."""
    if body.get("archive") is not None:
        experiment = runs.set_archived(workspace, experiment, bool(body["archive"]))["experimentId"]

    def change(document: Document) -> None:
        document["tags"].update(body.get("tags") or {})
        document["description"] = body.get("description") or document["description"]

    return workspace.documents.update("experiment", runs.experiment_key(workspace, experiment), change) or {}


@router.post(_BY_ID + "/tags:delete")
async def delete_experiment_tags(workspace: Workspace, experiment: str, body: JsonBody) -> Document:
    """Take tags away by name."""
    _delete_tags(workspace, "experiment", runs.experiment_key(workspace, experiment), body)
    return {"errors": {}}


@router.delete(_BY_ID)
async def delete_experiment(workspace: Workspace, experiment: str) -> Response:
    """An experiment without runs goes; Azure keeps one that has some."""
    found = runs.get_experiment(workspace, experiment)
    if next(runs.newest_runs(workspace, found["experimentId"]), None):
        raise NotFoundError(f"experiment {found['name']} has runs, and only an empty one can be deleted")
    workspace.documents.delete("experiment", runs.experiment_key(workspace, experiment))
    workspace.documents.delete("experiment_id", found["experimentId"])
    return Response(status_code=200)


@router.post(_BY_NAME + "/runs:query")
@router.post(_BY_ID + "/runs:query")
def query_runs(workspace: Workspace, experiment: str, body: JsonBody, request: Request) -> Document:
    """The runs that a filter lets through, newest first unless an order is asked for."""
    found = runs.get_experiment(workspace, experiment)
    body.update({key.removeprefix("$"): value for key, value in request.query_params.items()})
    return _page(_candidates(workspace, found["experimentId"], body), body)


@router.get("/computes/{compute}/runs")
def list_of_compute(workspace: Workspace, compute: str, request: Request) -> Document:
    """The runs that are under way on a compute, newest first."""
    query = {key.removeprefix("$"): value for key, value in request.query_params.items()}
    found = [run for run in workspace.documents.find("run") if run["target"] == compute and run["status"] not in runs.FINAL]
    return _page(reversed(found), query)


@router.get("/runs/{run_id}")
@router.get(_BY_NAME + "/runs/{run_id}")
@router.get(_BY_ID + "/runs/{run_id}")
async def get_run(workspace: Workspace, run_id: str) -> Document:
    """One run."""
    return runs.get_run(workspace, run_id)


@router.post("/rundata")
async def get_run_data(workspace: Workspace, body: JsonBody) -> Document:
    """One run, as SDK v2 asks for it before it downloads the run's files."""
    return {"runMetadata": runs.get_run(workspace, str(body.get("runId") or ""))}


@router.patch(_BY_NAME + "/runs/{run_id}")
@router.patch(_BY_ID + "/runs/{run_id}")
async def change_run(workspace: Workspace, experiment: str, run_id: str, body: JsonBody) -> Document:
    """Create the run, or change it: tags merge, and so do properties, none of which changes once it is there."""
    _check_properties(workspace, run_id, body.get("properties") or {})
    return runs.upsert_run(workspace, _experiment_name(workspace, experiment), run_id, body)


@router.patch(_BY_NAME + "/batch/runs")
@router.patch(_BY_ID + "/batch/runs")
def change_runs(workspace: Workspace, experiment: str, body: JsonBody) -> Document:
    """Several runs at once, as `Run.create_children` sends them."""
    name = _experiment_name(workspace, experiment)
    changed = {each["runId"]: runs.upsert_run(workspace, name, each["runId"], each) for each in body["runs"]}
    return {"runs": changed, "errors": {}}


@router.get(_BY_NAME + "/runs/{run_id}/token")
@router.get(_BY_ID + "/runs/{run_id}/token")
async def get_token(workspace: Workspace, run_id: str) -> Document:
    """A fresh token for a script, which renews the one that it was started with."""
    runs.get_run(workspace, run_id)
    expiry = datetime.now(UTC) + timedelta(seconds=tokens.LIFETIME_SECONDS)
    return {"token": tokens.issue(workspace.emulator, "https://ml.azure.com"), "expiryTimeUtc": expiry.isoformat()}


@router.get("/runs/{run_id}/details")
@router.get(_BY_NAME + "/runs/{run_id}/details")
@router.get(_BY_ID + "/runs/{run_id}/details")
async def get_details(workspace: Workspace, run_id: str) -> Document:
    """What `run.get_details()` shows, and where the logs are."""
    run = runs.get_run(workspace, run_id)
    return {
        "runId": run_id,
        "target": run["target"],
        "status": run["status"],
        "startTimeUtc": run["startTimeUtc"],
        "endTimeUtc": run["endTimeUtc"],
        "error": run.get("error"),
        "warnings": run.get("warnings") or [],
        "tags": run["tags"],
        "properties": run["properties"],
        "runDefinition": run.get("runDefinition"),
        "inputDatasets": run.get("inputDatasets") or [],
        "outputDatasets": run.get("outputDatasets") or [],
        "logFiles": artifacts.log_urls(workspace, run["dataContainerId"]),
        "submittedBy": run["createdBy"]["userName"],
        "services": {},
    }


@router.get("/runs/{run_id}/children")
@router.get(_BY_NAME + "/runs/{run_id}/children")
@router.get(_BY_ID + "/runs/{run_id}/children")
def list_children(workspace: Workspace, run_id: str, request: Request) -> Document:
    """The direct children, newest first."""
    query = {key.removeprefix("$"): value for key, value in request.query_params.items()}
    return _page(reversed(runs.list_children(workspace, run_id)), query)


@router.post(_BY_NAME + "/runs/{run_id}/events")
@router.post(_BY_ID + "/runs/{run_id}/events")
async def post_event(workspace: Workspace, run_id: str, body: JsonBody) -> Response:
    """A start or an end moves the run on; an error and a warning are written on it; other events are taken note of by nobody."""
    _apply_event(workspace, run_id, body)
    return Response(status_code=200)


@router.post(_BY_NAME + "/batch/events")
@router.post(_BY_ID + "/batch/events")
def post_events(workspace: Workspace, body: JsonBody) -> Document:
    """Events of several runs."""
    for event in body.get("events") or []:
        _apply_event(workspace, (event.get("data") or {}).get("RunId") or event.get("runId", ""), event)
    return {"errors": []}


@router.delete(_BY_NAME + "/runs/{run_id}/tags")
@router.delete(_BY_ID + "/runs/{run_id}/tags")
async def delete_tags(workspace: Workspace, run_id: str, body: JsonBody) -> Document:
    """Take tags away by name."""
    runs.get_run(workspace, run_id)
    return _delete_tags(workspace, "run", run_id, body)


@router.get(_BY_NAME + "/runs/{run_id}/metricsingest/wait")
@router.post(_BY_NAME + "/runs/{run_id}/metricsingest/wait")
async def wait_for_metrics(run_id: str) -> Document:
    """Metrics are in as soon as they are sent."""
    return {"isComplete": True, "ingestComplete": True, "runId": run_id}


def _check_properties(workspace: WorkspaceState, run_id: str, given: Document) -> None:
    """Raise `InvalidRequestError` for another value: azureml-core's `Run.add_properties` says that they are immutable."""
    known = (runs.find_run(workspace, run_id) or {}).get("properties") or {}
    changed = sorted(name for name, value in given.items() if value is not None and known.get(name, value) != value)
    if changed:
        raise InvalidRequestError(f"run {run_id}: properties are immutable, and it has {', '.join(changed)} already; use tags")


def _is_in_view(experiment: Document, view: str) -> bool:
    return bool(experiment["archivedTime"]) == (view == "ArchivedOnly")


def _delete_tags(workspace: WorkspaceState, kind: str, key: str, body: Any) -> Document:
    names = body if isinstance(body, list) else body.get("tags") or []

    def change(document: Document) -> None:
        document["tags"] = {name: value for name, value in document["tags"].items() if name not in names}

    return workspace.documents.update(kind, key, change) or {}


def _experiment_name(workspace: WorkspaceState, experiment: str) -> str:
    found = runs.find_experiment(workspace, experiment)
    return str(found["name"]) if found else experiment


def _apply_event(workspace: WorkspaceState, run_id: str, event: Document) -> None:
    name, data = str(event.get("name", "")), event.get("data") or {}
    if name == _ERROR:
        runs.update_run(workspace, run_id, {"error": data.get("ErrorResponse")})
    elif name == _WARNING:
        runs.add_warning(workspace, run_id, str(data.get("Source") or ""), str(data.get("Message") or ""))
    elif name in _EVENTS:
        runs.set_status(workspace, run_id, _EVENTS[name])


def _candidates(workspace: WorkspaceState, experiment_id: str, query: Document) -> Iterable[Document]:
    """The experiment's runs, newest first; of one family alone where the filter lets no other through."""
    root = filters.matches(query.get("filter")).required.get("rootrunid")
    if root is None:
        return runs.newest_runs(workspace, experiment_id)
    return [run for run in reversed(runs.list_family(workspace, root)) if run["experimentId"] == experiment_id]


def _page(documents: Iterable[Document], query: dict[str, Any]) -> Document:
    """One page of documents that come newest first: filtered, ordered, from the continuation token on."""
    found: Iterable[Document] = filter(filters.matches(query.get("filter")), documents)
    order = query.get("orderBy") or query.get("orderby") or NEWEST_FIRST
    entries = [order] if isinstance(order, str) else order
    if entries != [NEWEST_FIRST]:
        found = filters.ordered(list(found), entries)
    begin = int(query.get("continuationToken") or 0)
    end = begin + min(int(query.get("top") or DEFAULT_PAGE), DEFAULT_PAGE)
    page = list(islice(found, begin, end + 1))
    following = str(end) if len(page) > end - begin else None
    return {"value": page[: end - begin], "continuationToken": following, "nextLink": None}
