"""Metrics of runs, version 1 of the wire, which `azureml-widgets` still reads: one entry a time that something was logged.

The entries are made of the series that `metrics` keeps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby

from bankmlops.emulator.history import filters, runs
from bankmlops.emulator.history.metrics import SCALAR
from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.state import Document
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import WS, JsonBody, Workspace
from bankmlops.errors import InvalidRequestError

router = Router(prefix="/history/v1.0" + WS)

PAGE_ENTRIES = 5000
_RUN_ID = re.compile(r"\bRunId\s+eq\s+[\"']?([^\s)\"']+)", re.IGNORECASE)
_INLINE = (SCALAR, "azureml.v1.list", "azureml.v1.table")


@router.post("/experiments/{experiment}/metrics:query")
def query_metrics(workspace: Workspace, experiment: str, body: JsonBody) -> Document:
    """What the runs that a filter names have logged, as it was logged; nothing is merged."""
    query = body or {}
    is_meant = filters.matches(query.get("filter"))
    found = [entry for run_id in _runs(workspace, experiment, query.get("filter") or "") for entry in _entries(workspace, run_id)]
    meant = [entry for entry in found if is_meant(entry)]
    begin = _begin(query.get("continuationToken"))
    following = str(begin + PAGE_ENTRIES) if begin + PAGE_ENTRIES < len(meant) else None
    return {"value": meant[begin : begin + PAGE_ENTRIES], "continuationToken": following, "nextLink": None}


def _runs(workspace: WorkspaceState, experiment: str, expression: str) -> Iterable[str]:
    """The ids that the filter names, or else those of the experiment's runs."""
    named = _RUN_ID.findall(expression)
    if named:
        return dict.fromkeys(named)
    found = runs.get_experiment(workspace, experiment)
    return [run["runId"] for run in runs.newest_runs(workspace, found["experimentId"])]


def _entries(workspace: WorkspaceState, run_id: str) -> Iterator[Document]:
    for series in workspace.documents.find("metric", run_id):
        for metric_id, cells in groupby(series["value"], key=lambda cell: cell.get("metricId")):
            yield _entry(run_id, series, str(metric_id), list(cells))


def _entry(run_id: str, series: Document, metric_id: str, cells: list[Document]) -> Document:
    kind = (series.get("properties") or {}).get("uxMetricType") or SCALAR
    columns = series.get("columns") or {}
    return {
        "runId": run_id,
        "metricId": metric_id,
        "metricType": kind,
        "createdUtc": cells[0].get("createdUtc"),
        "name": series["name"],
        "description": "",
        "label": None,
        "numCells": len(cells),
        "dataLocation": None if kind in _INLINE else cells[0]["data"].get(series["name"]),
        "cells": [cell["data"] for cell in cells],
        "schema": {
            "numProperties": len(columns),
            "properties": [{"propertyId": name, "name": name, "type": str(column).lower()} for name, column in columns.items()],
        },
    }


def _begin(token: str | None) -> int:
    if token is None:
        return 0
    if not token.isdecimal():
        raise InvalidRequestError(f"continuationToken {token[:100]!r} is none of this query's")
    return int(token)
