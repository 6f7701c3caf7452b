"""Metrics of a run, version 2 of the wire: series of cells, each with its columns, the newest last."""

from __future__ import annotations

import uuid
from typing import Any

from bankmlops.emulator.history import runs
from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.state import Document
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import WS, JsonBody, Workspace, now
from bankmlops.errors import NotFoundError

router = Router(prefix="/metric/v2.0" + WS)

SCALAR = "azureml.v1.scalar"
PAGE_CELLS = 1000


@router.post("/runs/{run_id}/batch")
async def add_metrics(workspace: Workspace, run_id: str, body: JsonBody) -> Document:
    """Append cells to series that are made as they are named."""
    for series in body["values"]:
        _append(workspace, run_id, series)
    return {"errors": []}


@router.post("/runs/{run_id}/list")
async def list_metrics(workspace: Workspace, run_id: str) -> Document:
    """The names and columns of the run's series."""
    found = workspace.documents.find("metric", run_id)
    value = [{"metricKey": {"name": series["name"], "runId": run_id}, "columns": series["columns"]} for series in found]
    return {"value": value, "continuationToken": None, "nextLink": None}


@router.post("/runs/{run_id}/full")
async def get_metric(workspace: Workspace, run_id: str, body: JsonBody) -> Document:
    """One series with its cells, a page at a time; 404 where there is none."""
    name = body.get("metricName")
    series = workspace.documents.get("metric", f"{run_id}/{name}")
    if series is None:
        raise NotFoundError(f"metric {name} was not logged by run {run_id}")
    begin = int(body.get("continuationToken") or 0)
    cells = series["value"]
    following = str(begin + PAGE_CELLS) if begin + PAGE_CELLS < len(cells) else None
    return {**series, "value": cells[begin : begin + PAGE_CELLS], "continuationToken": following, "nextLink": None}


def log_metric(workspace: WorkspaceState, run_id: str, name: str, value: float) -> None:
    """Make `value` the run's one value of a scalar metric."""
    cell = {"metricId": str(uuid.uuid4()), "createdUtc": now(), "step": 0, "data": {name: value}}
    series = {"name": name, "columns": {name: "Double"}, "properties": {"uxMetricType": SCALAR}, "value": [cell]}
    workspace.documents.put("metric", f"{run_id}/{name}", _complete(workspace, run_id, series), group=run_id)


def scalars(workspace: WorkspaceState, run_id: str) -> dict[str, float]:
    """The newest value of each scalar metric of the run, by name."""
    found: dict[str, float] = {}
    for series in workspace.documents.find("metric", run_id):
        value = series["value"][-1]["data"].get(series["name"]) if series["value"] else None
        if isinstance(value, int | float):
            found[series["name"]] = float(value)
    return found


def _append(workspace: WorkspaceState, run_id: str, series: dict[str, Any]) -> None:
    key = f"{run_id}/{series['name']}"
    documents = workspace.documents
    with documents.store.transaction():
        known = documents.get("metric", key) or _complete(workspace, run_id, {**series, "value": []})
        known["value"].extend(series.get("value") or [])
        known["columns"] = {**(known.get("columns") or {}), **(series.get("columns") or {})}
        documents.put("metric", key, known, group=run_id)


def _complete(workspace: WorkspaceState, run_id: str, series: Document) -> Document:
    run = runs.find_run(workspace, run_id)
    container = series.get("dataContainerId") or (run or {}).get("dataContainerId") or f"dcid.{run_id}"
    return {**series, "dataContainerId": container}
