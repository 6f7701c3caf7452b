"""An endpoint's log lines as Application Insights has them: traces, and the exceptions whose tracebacks follow a line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

SEVERITIES = {"DEBUG": 0, "INFO": 1, "WARNING": 2, "ERROR": 3, "CRITICAL": 4}
MAXIMUM_CONTINUATION = 200
_LINE = re.compile(
    r"(?P<utc>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)? ?(?P<local>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3})?"
    r" ?(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) (?P<message>.*)"
)
_TRACEBACK = "Traceback (most recent call last):"
_RAISED = re.compile(r"(?P<type>[A-Za-z_][\w.]*)(?:: (?P<message>.*))?$")
_REQUEST_ID = re.compile(r"request_id=([\w-]+)")


@dataclass(frozen=True, slots=True)
class Trace:
    """A message of the log; `timestamp` is UTC without a zone, None where the line has none. Severity is 0 to 4, critical."""

    timestamp: datetime | None
    severity: int
    message: str
    operation_id: str
    continuation: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoggedException:
    """An exception in the log: its class, its message, the line above its traceback, and the traceback itself."""

    timestamp: datetime | None
    type: str
    message: str
    problem: str
    details: str
    operation_id: str


def read_traces(lines: Sequence[str]) -> list[Trace]:
    """The messages in order. A line that begins none, such as a traceback's, belongs to the one before it."""
    traces: list[Trace] = []
    rest: list[str] = []
    for line in lines:
        found = _LINE.match(line)
        if found is None and traces:
            rest.append(line)
            continue
        _close(traces, rest)
        traces.append(_trace(found) if found else Trace(None, SEVERITIES["INFO"], line, ""))
    _close(traces, rest)
    return traces


def exceptions_of(traces: Sequence[Trace]) -> Iterator[LoggedException]:
    """Those of the messages that a traceback follows."""
    for trace in traces:
        if _TRACEBACK in trace.continuation:
            raised = next((line for line in reversed(trace.continuation) if _RAISED.match(line)), "")
            found = _RAISED.match(raised)
            name, message = (found["type"], found["message"] or "") if found else ("Exception", "")
            details = "\n".join(trace.continuation)
            yield LoggedException(trace.timestamp, name, message, trace.message, details, trace.operation_id)


def _close(traces: list[Trace], rest: list[str]) -> None:
    """Give the last message what came after it, bounded."""
    if rest:
        last = traces[-1]
        traces[-1] = Trace(last.timestamp, last.severity, last.message, last.operation_id, tuple(rest[-MAXIMUM_CONTINUATION:]))
        rest.clear()


def _trace(found: re.Match[str]) -> Trace:
    request = _REQUEST_ID.search(found["message"])
    return Trace(_time(found), SEVERITIES[found["level"]], found["message"], request[1] if request else "")


def _time(found: re.Match[str]) -> datetime | None:
    """UTC with its Z; a service of before wrote its own messages in what was local time there, as it is here if all is well."""
    if found["utc"]:
        return datetime.fromisoformat(found["utc"]).replace(tzinfo=None)
    if found["local"]:
        local = datetime.strptime(found["local"], "%Y-%m-%d %H:%M:%S,%f").astimezone()
        return local.astimezone(UTC).replace(tzinfo=None)
    return None
