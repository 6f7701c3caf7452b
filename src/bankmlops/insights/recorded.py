"""What an endpoint recorded, from a mark on: the next requests that were not handed on yet, whatever was rotated meanwhile.

A mark names a file by its first line, which holds a request's id and so is no other file's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

_CONTEXT = re.compile("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Mark:
    """Up to where a file was read: `file` is the SHA-256 of its first line ("" where none was read), `offset` in bytes."""

    file: str = ""
    offset: int = 0


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request; `timestamp` with a zone, times in milliseconds. `traceparent` is the caller's, or ""."""

    timestamp: datetime
    request_id: str
    client_request_id: str
    method: str
    path: str
    status: int
    rows: int
    request_bytes: int
    duration_ms: float
    exec_ms: float
    key: str
    model: str
    error: str
    traceparent: str

    @property
    def name(self) -> str:
        """What was asked, as both exports call it."""
        return f"{self.method} {self.path}"

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits: the caller's trace, or one of its own."""
        return self.traceparent[3:35] or self._digest[:32]

    @property
    def parent_id(self) -> str:
        """16 hexadecimal digits of the caller's span, or ""."""
        return self.traceparent[36:52]

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits, the same however often it is sent."""
        return self._digest[32:48]

    @property
    def _digest(self) -> str:
        return hashlib.sha256(self.request_id.encode()).hexdigest()


def read_after(files: Sequence[Path], mark: Mark, most: int) -> tuple[list[RecordedRequest], Mark]:
    """The next requests, at most so many, of files from the oldest to the newest, and the mark behind them.

    Lines that are no record are passed over; one that is still being written is left for the next time.
    """
    found: list[RecordedRequest] = []
    for path, identity in _unread(files, mark):
        start = mark.offset if identity == mark.file else 0
        mark = Mark(identity, start)
        for request, end in islice(_requests(path, start), most - len(found)):
            mark = Mark(identity, end)
            found += [request] if request else []
        if len(found) >= most:
            break
    return found, mark


def is_lost(files: Sequence[Path], mark: Mark) -> bool:
    """Whether the file that the mark is in is gone, and with it what was recorded and not handed on."""
    return bool(mark.file) and mark.file not in map(_identity, files)


def _unread(files: Sequence[Path], mark: Mark) -> list[tuple[Path, str]]:
    """The marked file and those behind it; all of them where it is gone. One that was copied twice is there once."""
    known = {identity: path for path in files if (identity := _identity(path))}
    identities = list(known)
    begin = identities.index(mark.file) if mark.file in known else 0
    return [(known[identity], identity) for identity in identities[begin:]]


def _identity(path: Path) -> str:
    with path.open("rb") as file:
        first = file.readline()
    return hashlib.sha256(first).hexdigest() if first.endswith(b"\n") else ""


def _requests(path: Path, start: int) -> Iterator[tuple[RecordedRequest | None, int]]:
    """Each line's request and where the line ends."""
    with path.open("rb") as file:
        file.seek(start)
        end = start
        for line in file:
            if not line.endswith(b"\n"):
                return
            end += len(line)
            yield _request(line), end


def _request(line: bytes) -> RecordedRequest | None:
    try:
        return _made(json.loads(line))
    except (ValueError, KeyError, TypeError):
        return None


def _made(row: dict[str, Any]) -> RecordedRequest:
    return RecordedRequest(
        timestamp=datetime.fromisoformat(row["timestamp"]),
        request_id=str(row["request_id"]),
        client_request_id=str(row["client_request_id"]),
        method=str(row["method"]),
        path=str(row["path"]),
        status=int(row["status"]),
        rows=int(row["rows"]),
        request_bytes=int(row["request_bytes"]),
        duration_ms=float(row["duration_ms"]),
        exec_ms=float(row["exec_ms"]),
        key=str(row["key"]),
        model=str(row["model"]),
        error=str(row["error"]),
        traceparent=_context(row.get("traceparent", "")),
    )


def _context(traceparent: object) -> str:
    return traceparent if isinstance(traceparent, str) and _CONTEXT.fullmatch(traceparent) else ""
