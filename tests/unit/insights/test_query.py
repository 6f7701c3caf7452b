"""Telemetry is asked in SQL, with Application Insights' names, and a question can do nothing but read it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from bankmlops.errors import InvalidRequestError
from bankmlops.insights import charts
from bankmlops.insights.query import SUMMARY, ask
from bankmlops.insights.report import report
from bankmlops.insights.telemetry import load, lock
from bankmlops.scoring.telemetry import RequestRow
from support.recorded_telemetry import LOG, write_telemetry

REACHES_OUT = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM read_parquet('https://127.0.0.1:1/x.parquet')",
    "COPY requests TO 'out.csv'",
    "ATTACH 'other.db'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "PRAGMA database_list",
    "DROP TABLE requests",
    "INSERT INTO traces SELECT * FROM traces",
    "CREATE TABLE mine AS SELECT 1",
    "SELECT 1; SELECT 2",
    "SELECT * FROM lines",
    "",
    "-- nothing",
]


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as made:
        load(made, "bank", [write_telemetry(tmp_path_factory.mktemp("telemetry") / "telemetry.jsonl")], LOG)
        lock(made)
        yield made


def test_requests(connection: duckdb.DuckDBPyConnection) -> None:
    """Each recorded request is a row; the line that was being written is left out."""
    (first,) = ask(connection, "SELECT * FROM requests LIMIT 1").records()
    assert first == {
        "timestamp": datetime(2001, 9, 9, 1, 46, 40),  # noqa: DTZ001  # UTC without a zone, as Application Insights has it
        "id": "id-0",
        "name": "POST /score",
        "url": "/score",
        "success": False,
        "resultCode": "400",
        "duration": 1.0,
        "performanceBucket": "<250ms",
        "operation_Id": "id-0",
        "operation_Name": "POST /score",
        "cloud_RoleName": "bank",
        "customDimensions": {
            "model": "bank:1",
            "key": "Primary",
            "error": "row 0, column 'age'",
            "client_request_id": "",
            "traceparent": "",
        },
        "customMeasurements": {"rows": 2, "request_bytes": 64, "exec_ms": 0.5},
    }
    sql = "SELECT customDimensions.model AS model, sum(customMeasurements.rows) AS rows, count(*) AS n FROM requests GROUP BY ALL"
    assert ask(connection, sql).records() == [{"model": "bank:1", "rows": 200, "n": 100}]


def test_summary(connection: duckdb.DuckDBPyConnection) -> None:
    """Without a question: how many requests ended how, and how long they took."""
    rows = {row["resultCode"]: row for row in ask(connection, SUMMARY).records()}
    assert {code: row["requests"] for code, row in rows.items()} == {"200": 85, "400": 10, "500": 5}
    assert rows["500"]["p50_ms"] == 46.0


def test_traces_and_exceptions(connection: duckdb.DuckDBPyConnection) -> None:
    """A traceback belongs to the message before it, and is an exception with its class, message and request."""
    traces = ask(connection, "SELECT severityLevel, operation_Id FROM traces").rows
    assert traces == ((1, "id-0"), (3, "id-3"), (2, ""))
    (found,) = ask(connection, "SELECT type, outerMessage, problemId, operation_Id, details FROM exceptions").records()
    assert (found["type"], found["outerMessage"]) == ("ValueError", "it <broke>: here")
    assert found["problemId"] == "POST '/score' failed, request_id=id-3"
    assert found["operation_Id"] == "id-3"
    assert found["details"].startswith("Traceback (most recent call last):\n")


def test_the_callers_trace(tmp_path: Path) -> None:
    """Who sent a traceparent finds the request, and what the log says of it, under its trace's id."""
    trace, path = "0af7651916cd43dd8448eb211c80319c", tmp_path / "telemetry.jsonl"
    context = f"00-{trace}-b7ad6b7169203331-01"
    row = RequestRow(1e9, "id-3", "", "POST", "/score", 500, 0, 64, 1.0, 0.0, "Primary", "bank:1", "", True, context.encode())
    old = {"timestamp": "2001-09-09T01:46:40Z", "request_id": "id-0", "method": "POST", "path": "/score", "status": 200}
    path.write_text(f"{row.telemetry()}{json.dumps(old)}\n")
    with duckdb.connect(":memory:") as connection:
        load(connection, "bank", [path], LOG)
        sql = "SELECT id, operation_Id, customDimensions.traceparent FROM requests ORDER BY id"
        assert ask(connection, sql).rows == (("id-0", "id-0", ""), ("id-3", trace, context))
        assert ask(connection, "SELECT operation_Id FROM traces").rows == (("id-0",), (trace,), ("",))
        assert ask(connection, "SELECT operation_Id FROM exceptions").rows == ((trace,),)


@pytest.mark.parametrize("sql", REACHES_OUT)
def test_a_question_reaches_nothing_but_the_tables(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    """No file, no network, no setting, no change, and nothing of this process: one line says what would serve."""
    monkeypatch.chdir(tmp_path)
    lines = {"a": [1]}
    with pytest.raises(InvalidRequestError) as error:
        ask(connection, sql)
    assert lines
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())
    assert ask(connection, "SELECT count(*) FROM requests").rows == ((100,),)


def test_bounds(connection: duckdb.DuckDBPyConnection) -> None:
    """Rows, time and memory are bounded, and the connection serves on."""
    answer = ask(connection, "SELECT range FROM range(50)", rows=10)
    assert (len(answer.rows), answer.truncated) == (10, True)
    assert not ask(connection, "SELECT range FROM range(10)", rows=10).truncated
    began = time.monotonic()
    with pytest.raises(InvalidRequestError, match="took too long"):
        ask(connection, "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b", seconds=0.2)
    assert time.monotonic() - began < 20
    assert ask(connection, "SELECT 1").rows == ((1,),)


def test_values_that_json_lacks(connection: duckdb.DuckDBPyConnection) -> None:
    """Decimals, infinities, bytes, lists and intervals have a form of their own."""
    sql = "SELECT 1.5::DECIMAL(4, 2), 'inf'::DOUBLE, 'ab'::BLOB, [1, NULL], INTERVAL 1 DAY, DATE '2026-01-02'"
    assert ask(connection, sql).rows == ((1.5, None, "6162", [1, None], "1 day, 0:00:00", "2026-01-02"),)


def test_report(connection: duckdb.DuckDBPyConnection) -> None:
    """The page has its charts, tables and exceptions, all that was recorded is escaped, and it needs nothing from elsewhere."""
    page = report(connection, "bank<1>")
    assert page.count("<svg") == 3
    for text in ("Rate", "Failures", "Latency", "5.00%", "10.00%", "it &lt;broke&gt;: here", "row 0, column &#x27;age&#x27;"):
        assert text in page
    assert "bank&lt;1&gt;" in page
    assert "<broke>" not in page
    assert "http" not in page.replace("Content-Security-Policy", "").replace("http-equiv", "")
    assert "<script" not in page


@pytest.mark.parametrize(("count", "seconds"), [(0, 1.0), (1, 1.0), (3, 86_400.0 * 30), (50, 0.001)])
def test_report_of_any_span(tmp_path: Path, count: int, seconds: float) -> None:
    """Nothing, one request, milliseconds and months: there is a page, with a bounded number of bars."""
    with duckdb.connect(":memory:") as made:
        load(made, "bank", [write_telemetry(tmp_path / "telemetry.jsonl", count, seconds)], [])
        lock(made)
        page = report(made, "bank")
    assert page.count("<svg") == (3 if count else 0)
    assert "nan" not in page
    assert page.count("<rect") < 400
    assert ("No request was recorded" in page) is (count == 0)


def test_a_gap_interrupts_the_line() -> None:
    """Where nothing was measured there is no line."""
    series = [charts.Series("p50", "s0", (1.0, 2.0, None, 3.0))]
    svg = charts.lines((0.0, 1.0, 2.0, 3.0), 1.0, series, "ms", ["a", "b", "c", "d"])
    assert svg.count("<polyline") == 2
    assert svg.count("<circle") == 3
