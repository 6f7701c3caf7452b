"""The request log, off the hot path: a bounded queue and one writer thread, which says how many rows it had to drop.

Each request is one line on stderr; while app insights is on it is also one JSON object in `telemetry.jsonl`, kept within
`MAX_FILE_BYTES` by one rotation. Keys, inputs and outputs are never in either.

Each worker has a log of its own, and all write to the same stream and the same file. No line is torn: the stream gets whole lines
in writes that it takes in one piece (a pipe is told apart), the file in one write under a lock, and that one of them rotates it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import select
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import IO, NamedTuple

MAX_QUEUE = 10_000
MAX_FILE_BYTES = 16 * 2**20
_BATCH_SECONDS = 0.05
_REOPENINGS = 10
_text = json.encoder.encode_basestring_ascii  # a text as JSON
MAX_CONTEXT = 55
_CONTEXT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class RequestRow(NamedTuple):
    """One request. `timestamp` is Unix seconds when its head had arrived; times are in milliseconds."""

    timestamp: float
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
    app_insights: bool
    traceparent: bytes = b""

    def line(self) -> str:
        """A line of the service's log."""
        timestamp, request_id, _, method, path, status, rows, size, duration, _, key, model, error, _, _ = self
        what, whose = _often(method, path, status, key, model)
        end = f" error={json.dumps(error)}\n" if error else "\n"
        return f"{written(timestamp)}{what}{duration:.3f}ms rows={rows} bytes={size}{whose}{request_id}{end}"

    def telemetry(self) -> str:
        """A line of `telemetry.jsonl`."""
        return (
            f'{{"timestamp":"{written(self.timestamp)}","request_id":{_text(self.request_id)},'
            f'"client_request_id":{_text(self.client_request_id)},"method":{_text(self.method)},"path":{_text(_bare(self.path))},'
            f'"status":{self.status},"rows":{self.rows},"request_bytes":{self.request_bytes},"duration_ms":{self.duration_ms},'
            f'"exec_ms":{self.exec_ms},"key":{_text(self.key)},"model":{_text(self.model)},"error":{_text(self.error)},'
            f'"traceparent":"{_context(self.traceparent)}"}}\n'
        )


class RequestLog:
    """`put` never waits; `close` writes what is queued, for a bounded time."""

    def __init__(self, telemetry: Path, stream: IO[str] | None = None) -> None:
        self._refused = 0  # by the caller's thread
        self._lost = 0  # by the writer's
        self._telemetry = telemetry
        self._stream = stream or sys.stderr
        self._lines: deque[str] = deque()
        self._telemetry_lines: deque[str] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._write_until_closed, name="request-log", daemon=True)
        self._thread.start()

    def put(self, row: RequestRow) -> None:
        """Queue a row, or count it as dropped where the writer is too far behind.

        Its lines are made here: that takes less than to hand over what they are made of, and to wait while the writer does it.
        """
        if len(self._lines) >= MAX_QUEUE:
            self._refused += 1
            return
        self._lines.append(row.line())
        if row.app_insights:
            self._telemetry_lines.append(row.telemetry())
        if not self._wake.is_set():
            self._wake.set()

    @property
    def dropped(self) -> int:
        """Rows that were not written."""
        return self._refused + self._lost

    @property
    def queued(self) -> int:
        """Rows that wait for the writer."""
        return len(self._lines)

    def close(self, timeout: float = 5.0) -> None:
        """Let the writer finish."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout)

    def _write_until_closed(self) -> None:
        reported = 0
        while self._lines or self._telemetry_lines or not self._closing:
            self._wake.wait()
            time.sleep(0 if self._closing else _BATCH_SECONDS)
            self._wake.clear()
            self._lost += self._print(_taken(self._lines))
            self._append(_taken(self._telemetry_lines))
            if self.dropped != reported:
                self._print([f"{written(time.time())} WARNING request log: {self.dropped} rows dropped so far\n"])
                reported = self.dropped

    def _append(self, lines: list[str]) -> None:
        try:
            if lines:
                append_bounded(self._telemetry, "".join(lines))
        except OSError as error:
            self._lost += len(lines)
            self._print([f"{written(time.time())} ERROR telemetry.jsonl can't be written: {error.strerror}\n"])

    def _print(self, lines: list[str]) -> int:
        """Answers how many of them the log did not take."""
        left = len(lines)
        with contextlib.suppress(OSError, ValueError):  # its disk is full or its reader is gone: serving goes on
            _bound(self._stream)
            for piece in _pieces(lines, _piece_bytes(self._stream)):
                self._stream.write(piece)
                self._stream.flush()
                left -= piece.count("\n")
        return left


def _taken(queue: deque[str]) -> list[str]:
    return [queue.popleft() for _ in range(len(queue))]


def _piece_bytes(stream: IO[str]) -> int:
    """How many bytes are sure to be written in one piece, whoever else writes to the stream."""
    with contextlib.suppress(OSError, ValueError):
        if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            return MAX_FILE_BYTES
    return select.PIPE_BUF


def _pieces(lines: Sequence[str], size: int) -> Iterator[str]:
    """Whole lines together, as many as fit into `size` bytes. All of it is ASCII."""
    together = "".join(lines)
    if together and len(together) <= size:
        yield together
        return
    piece: list[str] = []
    left = size
    for line in lines:
        if piece and len(line) > left:
            yield "".join(piece)
            piece, left = [], size
        piece.append(line)
        left -= len(line)
    if piece:
        yield "".join(piece)


def append_bounded(path: Path, lines: str) -> None:
    """Add whole lines to a file of several writers, which its owner alone can read; one that became too long is rotated.

    Raises `OSError`; no part of a line stays then.
    """
    for _ in range(_REOPENINGS):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "ab", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(file, path):  # another worker rotated it meanwhile
                continue
            _write_all(file, lines.encode())
            if os.fstat(descriptor).st_size > MAX_FILE_BYTES:
                path.replace(path.with_suffix(".1.jsonl"))
            return
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(path))


def _write_all(file: IO[bytes], content: bytes) -> None:
    """Or nothing, where the disk takes a part alone. The file is locked."""
    size = os.fstat(file.fileno()).st_size
    if file.write(content) != len(content):
        file.truncate(size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _is_at(file: IO[bytes], path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


def _bound(stream: IO[str]) -> None:
    """Empty the log file once it is too long; only a regular file that is appended to can be emptied in place."""
    with contextlib.suppress(OSError, ValueError):
        descriptor = stream.fileno()
        status = os.fstat(descriptor)
        too_long = stat.S_ISREG(status.st_mode) and status.st_size > MAX_FILE_BYTES
        if too_long and fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND:
            _empty(descriptor)
            stream.write(f"{written(time.time())} INFO the log was longer than {MAX_FILE_BYTES:,} bytes and starts anew\n")


def _empty(descriptor: int) -> None:
    """Once, however many workers found it too long: theirs is one open file, so the lock is one of processes."""
    fcntl.lockf(descriptor, fcntl.LOCK_EX)
    try:
        if os.fstat(descriptor).st_size > MAX_FILE_BYTES:
            os.ftruncate(descriptor, 0)
    finally:
        fcntl.lockf(descriptor, fcntl.LOCK_UN)


@lru_cache(maxsize=64)
def _often(method: str, path: str, status: int, key: str, model: str) -> tuple[str, str]:
    """What a line of the log has behind the time and behind the sizes, which it shares with many."""
    level = "ERROR" if status >= 500 else "INFO"
    return f" {level} {method} {_bare(path)} {status} ", f" key={key or '-'} model={model} request_id="


@lru_cache(maxsize=16)
def _bare(path: str) -> str:
    """A path that can't forge a second line or hide in one."""
    return json.dumps(path[:200])[1:-1].replace(" ", "%20")


def _context(traceparent: bytes) -> str:
    """The caller's place in its trace, where it is one (W3C Trace Context, "traceparent Header")."""
    return traceparent.decode("ascii") if traceparent and _CONTEXT.fullmatch(traceparent) else ""


def written(timestamp: float) -> str:
    """Unix seconds as the log, telemetry and collected requests have them: RFC 3339, in milliseconds."""
    return _in_milliseconds(int(timestamp * 1000))


@lru_cache(maxsize=16)  # many requests arrive within one
def _in_milliseconds(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_in_seconds(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=16)  # it takes longer than all else of a line
def _in_seconds(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
