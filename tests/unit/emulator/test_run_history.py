"""Runs on the wire: what a filter lets through, in which order, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from support.served_emulator import Served

HISTORY = "/history/v1.0"
FORM = ("family", "r0", "r1", "r2")


@pytest.fixture
def runs(served: Served) -> Served:
    """An experiment with a parent of three children; the middle one has failed, one tag has no value, and
    a child of another's bears its name."""
    _change(served, "family", {"tags": {"kind": "parent"}})
    for number in range(3):
        _change(served, f"r{number}", {"parentRunId": "family", "properties": {"runTemplate": "automl_child", "n": str(number)}})
    _change(served, "r2", {"tags": {"worth another look": None}})
    _change(served, "other", {"tags": {"parentRunId": "family"}}, experiment="another")
    served.call("POST", HISTORY, "/experiments/bench/runs/r1/events", json=_event("Failed"))
    return served


def _change(served: Served, run_id: str, changes: Mapping[str, object], experiment: str = "bench") -> None:
    assert served.call("PATCH", HISTORY, f"/experiments/{experiment}/runs/{run_id}", json=dict(changes)).is_success


def _event(name: str) -> dict[str, object]:
    return {"name": f"Microsoft.MachineLearning.Run.{name}", "data": {}}


def test_a_run_that_ends_before_it_began(served: Served) -> None:
    """It does not start after its end."""
    _change(served, "cancelled", {})
    served.call("POST", HISTORY, "/experiments/bench/runs/cancelled/events", json=_event("Canceled"))
    run = served.call("GET", HISTORY, "/experiments/bench/runs/cancelled").json()
    assert run["status"] == "Canceled"
    assert run["startTimeUtc"] == run["endTimeUtc"]


def _query(served: Served, **body: object) -> dict[str, object]:
    answer = served.call("POST", HISTORY, "/experiments/bench/runs:query", json=body)
    assert answer.status_code == 200, answer.text
    document: dict[str, object] = answer.json()
    return document


def _ids(document: Mapping[str, object]) -> list[str]:
    return [run["runId"] for run in document["value"]]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("", ["r2", "r1", "r0", "family"]),
        ("RootRunId eq family", ["r2", "r1", "r0", "family"]),
        ('RootRunId eq family and Properties/runTemplate eq "automl_child"', ["r2", "r1", "r0"]),
        ("Status eq Failed or Tags/kind eq 'parent'", ["r1", "family"]),
        ("Status ne Failed and (RunId eq r0 or RunId eq r1)", ["r0"]),
        ("RootRunId eq nobody", []),
        ("(Tags/worth another look ne null or Tags/worth another look eq null)", ["r2"]),
        ("(Tags/kind ne null or Tags/kind eq null) and (ParentRunId eq null)", ["family"]),
        ("(Properties/n ne null or Properties/n eq null) and (Status eq Failed)", ["r1"]),
        ("(Tags/nobody ne null or Tags/nobody eq null)", []),
    ],
)
def test_filters(runs: Served, expression: str, found: list[str]) -> None:
    """A filter as the SDK writes it lets through what it says, newest first."""
    assert _ids(_query(runs, filter=expression)) == found


@pytest.mark.parametrize("expression", ["RunId eq", "(RunId eq r0", "RunId like r0", "x" * 20_000])
def test_a_filter_that_is_none(runs: Served, expression: str) -> None:
    """It is a 400, and not every run."""
    assert runs.call("POST", HISTORY, "/experiments/bench/runs:query", json={"filter": expression}).status_code == 400


def test_orders_and_pages(runs: Served) -> None:
    """Pages follow each other without a gap in the order that was asked for, and the last has no token."""
    first = _query(runs, orderBy="RunId asc", top=3)
    last = _query(runs, orderBy="RunId asc", top=3, continuationToken=first["continuationToken"])
    assert _ids(first) + _ids(last) == sorted(FORM)
    assert last["continuationToken"] is None


def test_pages_newest_first(served: Served) -> None:
    """Without an order the newest come first, page by page, none twice and none left out."""
    for number in range(70):
        _change(served, f"r{number}", {})
    pages = [_query(served, top=30)]
    while token := pages[-1]["continuationToken"]:
        pages.append(_query(served, top=30, continuationToken=token))
    assert [len(_ids(page)) for page in pages] == [30, 30, 10]
    assert [run_id for page in pages for run_id in _ids(page)] == [f"r{number}" for number in reversed(range(70))]


def test_children(runs: Served) -> None:
    """A run's children are its own alone, newest first; an unknown run is a 404."""
    assert _ids(runs.call("GET", HISTORY, "/experiments/bench/runs/family/children").json()) == ["r2", "r1", "r0"]
    assert _ids(runs.call("GET", HISTORY, "/experiments/bench/runs/r0/children").json()) == []
    assert runs.call("GET", HISTORY, "/experiments/bench/runs/nobody/children").status_code == 404


def test_a_list_is_as_new_as_the_runs(runs: Served) -> None:
    """What was listed once and changed since is listed as it is now."""
    assert [run["tags"] for run in _query(runs, filter="RunId eq r0")["value"]] == [{}]  # type: ignore[attr-defined]
    _change(runs, "r0", {"tags": {"kind": "new"}})
    assert [run["tags"] for run in _query(runs, filter="RunId eq r0")["value"]] == [{"kind": "new"}]  # type: ignore[attr-defined]
