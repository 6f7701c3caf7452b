"""Metrics as `azureml-widgets` asks for them."""

from __future__ import annotations

from typing import Any

import pytest

from support.served_emulator import Served

MOMENT = "2026-01-02T03:04:05.000000Z"


def _cell(metric_id: str, **data: object) -> dict[str, Any]:
    return {"metricId": metric_id, "createdUtc": MOMENT, "data": data}


def _series(name: str, kind: str, columns: dict[str, str], *cells: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "columns": columns, "properties": {"uxMetricType": kind}, "value": list(cells)}


@pytest.fixture
def logged(served: Served) -> Served:
    """Run r-1 has logged a scalar thrice and a table of two rows, run r-2 an image."""
    for run_id in ("r-1", "r-2"):
        served.call("PATCH", "/history/v1.0", f"/experiments/e/runs/{run_id}", json={"runId": run_id})
    losses = [_cell(f"id-{loss}", loss=loss) for loss in (3, 2, 1)]
    rows = [_cell("id-t", x=1, y="a"), _cell("id-t", x=2, y="b")]
    values = [
        _series("loss", "azureml.v1.scalar", {"loss": "Double"}, *losses),
        _series("table", "azureml.v1.table", {"x": "int", "y": "string"}, *rows),
    ]
    served.call("POST", "/metric/v2.0", "/runs/r-1/batch", json={"values": values})
    image = _series("plot", "azureml.v2.image", {"plot": "artifact"}, _cell("id-i", plot="aml://artifactId/of-the-plot"))
    served.call("POST", "/metric/v2.0", "/runs/r-2/batch", json={"values": [image]})
    return served


def _query(served: Served, expression: str | None = None, **more: object) -> list[dict[str, Any]]:
    answer = served.call("POST", "/history/v1.0", "/experiments/e/metrics:query", json={"filter": expression, **more})
    assert answer.status_code == 200, answer.text
    entries: list[dict[str, Any]] = answer.json()["value"]
    return entries


def test_one_entry_a_time_that_it_was_logged(logged: Served) -> None:
    """A scalar has an entry a value, a table one of all its rows; the types of columns are in small letters."""
    found = _query(logged, "RunId eq r-1")
    assert [entry["cells"] for entry in found[:3]] == [[{"loss": 3}], [{"loss": 2}], [{"loss": 1}]]
    assert found[3]["cells"] == [{"x": 1, "y": "a"}, {"x": 2, "y": "b"}]
    assert found[0]["schema"] == {"numProperties": 1, "properties": [{"propertyId": "loss", "name": "loss", "type": "double"}]}
    assert {entry["runId"] for entry in found} == {"r-1"}


def test_what_a_filter_lets_through(logged: Served) -> None:
    """By run, by kind and by moment, as the widgets ask; without a run's name it is those of the experiment."""
    runs, kind = "(RunId eq r-1 or RunId eq r-2)", "(MetricType eq azureml.v1.scalar or MetricType eq azureml.v1.list)"
    assert len(_query(logged, f"{runs} and {kind}")) == 3
    assert _query(logged, "(RunId eq r-1) and (CreatedUtc gt 2026-01-03 00:00:00)") == []
    assert len(_query(logged)) == 5
    assert _query(logged, "RunId eq nobody") == []


def test_an_artifact_is_told_by_its_place(logged: Served) -> None:
    """An image's entry says where the file is."""
    (image,) = _query(logged, "RunId eq r-2")
    assert image["dataLocation"] == "aml://artifactId/of-the-plot"


def test_pages(logged: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a page goes on by a token; a token that is none is refused."""
    monkeypatch.setattr("bankmlops.emulator.history.metrics_v1.PAGE_ENTRIES", 3)
    path = "/experiments/e/metrics:query"
    first = logged.call("POST", "/history/v1.0", path, json={"filter": "RunId eq r-1"}).json()
    rest = logged.call(
        "POST", "/history/v1.0", path, json={"filter": "RunId eq r-1", "continuationToken": first["continuationToken"]}
    ).json()
    assert (len(first["value"]), len(rest["value"]), rest["continuationToken"]) == (3, 1, None)
    assert logged.call("POST", "/history/v1.0", path, json={"continuationToken": "x"}).status_code == 400
