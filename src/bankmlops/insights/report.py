"""The telemetry report: how many requests came, how many failed, and how long they took, over time, on one page of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

import duckdb

from bankmlops.insights import charts
from bankmlops.insights.charts import Series
from bankmlops.insights.page import Html, chart, page, table, tiles
from bankmlops.insights.query import ask

MAXIMUM_BUCKETS = 60
_WIDTHS = (1, 5, 10, 30, 60, 300, 900, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 604_800)
_SPAN = """SELECT min(epoch(timestamp)) AS first, max(epoch(timestamp)) AS last, count(*) AS requests,
  count_if(resultCode >= '5') AS failed, count_if(resultCode LIKE '4%') AS refused, sum(customMeasurements.rows) AS scored,
  quantile_cont(duration, 0.5) AS p50, quantile_cont(duration, 0.95) AS p95, quantile_cont(duration, 0.99) AS p99
  FROM requests"""
_BUCKETS = """SELECT floor(epoch(timestamp) / {width}) * {width} AS start, count(*) AS requests,
  count_if(resultCode >= '5') AS failed, count_if(resultCode LIKE '4%') AS refused, quantile_cont(duration, 0.5) AS p50,
  quantile_cont(duration, 0.95) AS p95, quantile_cont(duration, 0.99) AS p99 FROM requests GROUP BY start ORDER BY start"""
_TABLES = {
    "What was answered": """SELECT name, resultCode AS "result code", count(*) AS requests,
      round(quantile_cont(duration, 0.5), 3) AS "p50 ms", round(quantile_cont(duration, 0.99), 3) AS "p99 ms",
      CAST(max(timestamp) AS VARCHAR) AS newest FROM requests GROUP BY name, resultCode ORDER BY requests DESC LIMIT 20""",
    "By model and key": """SELECT customDimensions.model AS model, customDimensions."key" AS key, count(*) AS requests,
      CAST(sum(customMeasurements.rows) AS BIGINT) AS rows, round(quantile_cont(duration, 0.5), 3) AS "p50 ms",
      round(quantile_cont(duration, 0.99), 3) AS "p99 ms" FROM requests GROUP BY ALL ORDER BY requests DESC LIMIT 20""",
    "What was refused or failed": """SELECT resultCode AS "result code", customDimensions.error AS error, count(*) AS requests,
      CAST(max(timestamp) AS VARCHAR) AS newest FROM requests WHERE NOT success GROUP BY ALL ORDER BY requests DESC LIMIT 20""",
    "Slowest requests": """SELECT CAST(timestamp AS VARCHAR) AS time, id, name, resultCode AS "result code",
      customMeasurements.rows AS rows, round(duration, 3) AS ms FROM requests ORDER BY duration DESC LIMIT 10""",
}
_EXCEPTIONS = (
    "SELECT CAST(timestamp AS VARCHAR) AS time, type, outerMessage, details FROM exceptions ORDER BY timestamp DESC LIMIT 20"
)

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Timeline:
    """Buckets of `width` seconds without a hole; a bucket in which nothing came has no latency."""

    width: int
    starts: tuple[float, ...]
    rows: tuple[Row | None, ...]

    def values(self, name: str) -> tuple[float | None, ...]:
        return tuple(None if row is None else row[name] for row in self.rows)

    def titles(self) -> list[str]:
        return [_title(start, row) for start, row in zip(self.starts, self.rows, strict=True)]


def report(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    """The page of the endpoint `name`, as HTML. A connection of `open_telemetry`."""
    (total,) = ask(connection, _SPAN).records()
    written = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    title = f"Endpoint {name}"
    if not total["requests"]:
        command = escape(f"bankmlops endpoints update {name} --app-insights")
        nothing = f'<p class="card">No request was recorded; <code>{command}</code> records those that come.</p>'
        return page(title, f"Telemetry, written {written}", [nothing])
    timeline = _timeline(connection, total)
    subtitle = f"Telemetry from {_time(total['first'])} to {_time(total['last'])} UTC, written {written}"
    parts = [_tiles(total), *_charts(timeline)]
    parts += [_table(connection, heading, sql) for heading, sql in _TABLES.items()]
    return page(title, subtitle, [*parts, _exceptions(connection)])


def _timeline(connection: duckdb.DuckDBPyConnection, total: Row) -> _Timeline:
    first, last = total["first"], total["last"]
    width = next((each for each in _WIDTHS if (last - first) / each < MAXIMUM_BUCKETS - 1), _WIDTHS[-1])
    found = {row["start"]: row for row in ask(connection, _BUCKETS.format(width=width)).records()}
    count = int((max(found) - min(found)) / width) + 1
    starts = tuple(min(found) + width * index for index in range(count))
    return _Timeline(width, starts, tuple(found.get(start) for start in starts))


def _tiles(total: Row) -> str:
    failed = total["failed"] / total["requests"]
    return tiles(
        [
            ("requests", f"{total['requests']:,}"),
            ("rows scored", f"{int(total['scored'] or 0):,}"),
            ("failed (5xx)", f"{failed:.2%}"),
            ("refused (4xx)", f"{total['refused'] / total['requests']:.2%}"),
            ("p50 ms", f"{total['p50']:,.3g}"),
            ("p95 ms", f"{total['p95']:,.3g}"),
            ("p99 ms", f"{total['p99']:,.3g}"),
        ]
    )


def _charts(timeline: _Timeline) -> Sequence[str]:
    rates = [
        ("answered", "s0", [row["requests"] - row["failed"] - row["refused"] if row else 0 for row in timeline.rows]),
        ("refused (4xx)", "s4", [row["refused"] if row else 0 for row in timeline.rows]),
        ("failed (5xx)", "s1", [row["failed"] if row else 0 for row in timeline.rows]),
    ]
    answered = [Series(name, style, tuple(value / timeline.width for value in values)) for name, style, values in rates]
    shares = tuple(None if row is None else 100 * row["failed"] / row["requests"] for row in timeline.rows)
    failures = [Series("failed", "s1", shares)]
    latency = [Series(name, style, timeline.values(name)) for name, style in (("p50", "s0"), ("p95", "s3"), ("p99", "s1"))]
    where = (timeline.starts, timeline.width)
    titles = timeline.titles()
    per = _width(timeline.width)
    return [
        chart("Rate", charts.bars(*where, answered, f"requests a second, {per} a bar", titles), answered),
        chart("Failures", charts.lines(*where, failures, "% of requests that failed (5xx)", titles)),
        chart("Latency", charts.lines(*where, latency, f"milliseconds, {per} a point", titles), latency),
    ]


def _table(connection: duckdb.DuckDBPyConnection, heading: str, sql: str) -> str:
    answer = ask(connection, sql)
    return table(heading, answer.columns, answer.rows) if answer.rows else ""


def _exceptions(connection: duckdb.DuckDBPyConnection) -> str:
    rows = ask(connection, _EXCEPTIONS).rows
    if not rows:
        return ""
    folded = [
        (time or "", kind, Html(f"<details><summary>{escape(message)}</summary><pre>{escape(details)}</pre></details>"))
        for time, kind, message, details in rows
    ]
    return table("Newest exceptions in the log", ("time", "type", "message"), folded)


def _title(start: float, row: Row | None) -> str:
    if row is None:
        return f"{_time(start)} UTC: no request"
    return (
        f"{_time(start)} UTC: {row['requests']:,} requests, {row['refused']:,} refused, {row['failed']:,} failed, "
        f"p50 {row['p50']:.3g} ms, p95 {row['p95']:.3g} ms, p99 {row['p99']:.3g} ms"
    )


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def _width(seconds: int) -> str:
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"
