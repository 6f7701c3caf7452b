"""One question to the telemetry, and its answer: read-only, bounded in time, memory and rows."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import duckdb

from bankmlops.errors import InvalidRequestError

MAXIMUM_ROWS = 10_000
MAXIMUM_SECONDS = 60.0
SUMMARY = """
SELECT name, resultCode, count(*) AS requests, round(quantile_cont(duration, 0.5), 3) AS p50_ms,
  round(quantile_cont(duration, 0.95), 3) AS p95_ms, round(quantile_cont(duration, 0.99), 3) AS p99_ms,
  sum(customMeasurements.rows) AS scored, max(timestamp) AS newest
FROM requests GROUP BY name, resultCode ORDER BY requests DESC
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """The columns' names and the rows, values as JSON knows them; `truncated` says that there were more rows."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool = False

    def records(self) -> list[dict[str, Any]]:
        """The rows as objects."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def ask(connection: duckdb.DuckDBPyConnection, sql: str, *, rows: int = MAXIMUM_ROWS, seconds: float = MAXIMUM_SECONDS) -> Answer:
    """The answer to one SELECT, `rows` rows at most. Raises `InvalidRequestError` with DuckDB's own first line."""
    with _refused():
        statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type not in (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN):
        raise InvalidRequestError("one SELECT over the tables requests, traces and exceptions would serve")
    with _refused(), _interrupted_after(connection, seconds):
        found = connection.execute(statements[0])
        columns = tuple(str(column[0]) for column in found.description)
        values = found.fetchmany(rows + 1)
    return Answer(columns, tuple(tuple(map(_plain, row)) for row in values[:rows]), len(values) > rows)


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except duckdb.InterruptException as error:
        raise InvalidRequestError("the question took too long and was stopped; ask for less") from error
    except duckdb.OutOfMemoryException as error:
        raise InvalidRequestError("the question needs more memory than it may have; ask for less") from error
    except duckdb.Error as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        hints = [line for line in lines[1:] if line.startswith(("Candidate", "Did you mean"))]
        raise InvalidRequestError(" ".join([lines[0], *hints])) from error


@contextmanager
def _interrupted_after(connection: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str | datetime):
        return value
    if isinstance(value, float | Decimal):
        number = float(value)
        return number if math.isfinite(number) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Sequence):
        return [_plain(inner) for inner in value]
    return str(value)
