"""An endpoint's telemetry as tables that SQL can ask: `requests`, `traces` and `exceptions`, with Application Insights' columns.

Everything is in memory, copied before the first question; a question can't reach the disk, the network or another extension.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from bankmlops.backend import Backend
from bankmlops.insights.traces import LoggedException, Trace, exceptions_of, read_traces

MEMORY = "1GB"

# What `scoring.telemetry` writes, name by name.
_RECORDED = {
    "timestamp": "TIMESTAMP",
    "request_id": "VARCHAR",
    "client_request_id": "VARCHAR",
    "method": "VARCHAR",
    "path": "VARCHAR",
    "status": "INTEGER",
    "rows": "BIGINT",
    "request_bytes": "BIGINT",
    "duration_ms": "DOUBLE",
    "exec_ms": "DOUBLE",
    "key": "VARCHAR",
    "model": "VARCHAR",
    "error": "VARCHAR",
    "traceparent": "VARCHAR",
}
_REQUESTS = """
CREATE TABLE requests AS SELECT
  timestamp, request_id AS id, method || ' ' || path AS name, path AS url, status < 400 AS success,
  CAST(status AS VARCHAR) AS resultCode, duration_ms AS duration, {bucket} AS performanceBucket,
  coalesce(nullif(substr(traceparent, 4, 32), ''), request_id) AS operation_Id,
  method || ' ' || path AS operation_Name, ? AS cloud_RoleName,
  {{'model': model, 'key': key, 'error': error, 'client_request_id': client_request_id,
    'traceparent': coalesce(traceparent, '')}} AS customDimensions,
  {{'rows': rows, 'request_bytes': request_bytes, 'exec_ms': exec_ms}} AS customMeasurements
FROM recorded WHERE timestamp IS NOT NULL ORDER BY timestamp
"""
# The log names a request by its id alone.
_OPERATIONS = "UPDATE {table} SET operation_Id = requests.operation_Id FROM requests WHERE {table}.operation_Id = requests.id"
# Application Insights' own words for how long it took.
_BUCKETS = ((250, "<250ms"), (500, "250ms-500ms"), (1000, "500ms-1sec"), (3000, "1sec-3sec"), (7000, "3sec-7sec"))
_TRACES = pa.schema(
    [
        ("timestamp", pa.timestamp("us")),
        ("message", pa.string()),
        ("severityLevel", pa.int32()),
        ("operation_Id", pa.string()),
        ("cloud_RoleName", pa.string()),
    ]
)
_EXCEPTIONS = pa.schema(
    [
        ("timestamp", pa.timestamp("us")),
        ("type", pa.string()),
        ("outerMessage", pa.string()),
        ("problemId", pa.string()),
        ("details", pa.string()),
        ("operation_Id", pa.string()),
        ("cloud_RoleName", pa.string()),
    ]
)


@contextmanager
def open_telemetry(backend: Backend, name: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the tables of the endpoint `name`. Raises what `Backend.download_telemetry` and `get_logs` do."""
    with tempfile.TemporaryDirectory(prefix="bankmlops-insights-") as folder:
        files = [path for path in backend.download_telemetry(name, Path(folder)) if path.name.startswith("telemetry")]
        lines = backend.get_logs(name)
        with duckdb.connect(":memory:") as connection:
            load(connection, name, files, lines)
            lock(connection)
            yield connection


def load(connection: duckdb.DuckDBPyConnection, name: str, files: Sequence[Path], lines: Sequence[str]) -> None:
    """Make the tables. A line of a file that is no record, such as one that is being written, is left out."""
    _load_requests(connection, name, files)
    traces = read_traces(lines)
    _make(connection, "traces", _TRACES, [_trace_row(trace, name) for trace in traces])
    _make(connection, "exceptions", _EXCEPTIONS, [_exception_row(each, name) for each in exceptions_of(traces)])
    for table in ("traces", "exceptions"):
        connection.execute(_OPERATIONS.format(table=table))


def lock(connection: duckdb.DuckDBPyConnection) -> None:
    """From now on nothing but the tables can be reached, and nobody can change that."""
    for setting in (
        f"memory_limit = '{MEMORY}'",
        "temp_directory = ''",
        "python_enable_replacements = false",
        "autoload_known_extensions = false",
        "autoinstall_known_extensions = false",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"SET {setting}")


def _load_requests(connection: duckdb.DuckDBPyConnection, name: str, files: Sequence[Path]) -> None:
    columns = ", ".join(f"{column} {kind}" for column, kind in _RECORDED.items())
    connection.execute(f"CREATE TEMP TABLE recorded ({columns})")
    for path in files:
        connection.execute(
            "INSERT INTO recorded SELECT * FROM read_json(?, format = 'newline_delimited', columns = ?, ignore_errors = true)",
            [str(path), dict(_RECORDED)],
        )
    cases = " ".join(f"WHEN duration_ms < {limit} THEN '{word}'" for limit, word in _BUCKETS)
    connection.execute(_REQUESTS.format(bucket=f"CASE {cases} ELSE '>=7sec' END"), [name])
    connection.execute("DROP TABLE recorded")


def _make(connection: duckdb.DuckDBPyConnection, table: str, schema: pa.Schema, rows: list[dict[str, Any]]) -> None:
    connection.register("rows_of_table", pa.Table.from_pylist(rows, schema=schema))
    connection.table("rows_of_table").create(table)
    connection.unregister("rows_of_table")


def _trace_row(trace: Trace, name: str) -> dict[str, Any]:
    return {
        "timestamp": trace.timestamp,
        "message": "\n".join((trace.message, *trace.continuation)),
        "severityLevel": trace.severity,
        "operation_Id": trace.operation_id,
        "cloud_RoleName": name,
    }


def _exception_row(exception: LoggedException, name: str) -> dict[str, Any]:
    return {
        "timestamp": exception.timestamp,
        "type": exception.type,
        "outerMessage": exception.message,
        "problemId": exception.problem,
        "details": exception.details,
        "operation_Id": exception.operation_id,
        "cloud_RoleName": name,
    }
