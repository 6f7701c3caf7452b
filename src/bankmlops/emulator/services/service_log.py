"""The log of one service: what its process prints and what its front answers, line by line, bounded."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

MAX_BYTES = 8 << 20
MAX_LINE = 16_384
MAX_TAIL = 5000
_turning = threading.Lock()


def append(log: Path, line: str) -> None:
    """Add a line; when the file is full, it becomes the older half (`.1`) of the log. Safe from any thread."""
    content = line.rstrip("\n")[:MAX_LINE].encode("utf-8", "replace") + b"\n"
    with _turning:
        if log.exists() and log.stat().st_size + len(content) > MAX_BYTES:
            log.replace(_older(log))
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, content)
        finally:
            os.close(descriptor)


def stamped(text: str) -> str:
    """The text with the moment before it, as containers write it."""
    return f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {text}"


def copy(source: Iterable[bytes], log: Path) -> None:
    """Append lines until the source ends; a log that is taken away ends it too."""
    for line in source:
        try:
            append(log, line.decode("utf-8", "replace"))
        except FileNotFoundError:
            return


def tail(log: Path, lines: int) -> str:
    """The newest `lines` lines, oldest first, `MAX_TAIL` at most; "" where there is no log."""
    newest: deque[str] = deque(maxlen=max(0, min(lines, MAX_TAIL)))
    for file in (_older(log), log):
        if file.exists():
            with file.open(encoding="utf-8", errors="replace") as stream:
                newest.extend(stream)
    return "".join(newest)


def _older(log: Path) -> Path:
    return log.with_name(log.name + ".1")
