"""The newest lines of a log file of any size, read from its end in bounded memory."""

from __future__ import annotations

from pathlib import Path

_BLOCK_BYTES = 64 * 1024
_MAXIMUM_BYTES = 16 * 1024 * 1024


def last_lines(path: Path, count: int) -> list[str]:
    """At most `count` lines, oldest first, of the last 16 MiB; none where the file is not there."""
    try:
        with path.open("rb") as stream:
            end = stream.seek(0, 2)
            start, block = end, b""
            while start > 0 and block.count(b"\n") <= count and len(block) < _MAXIMUM_BYTES:
                size = min(_BLOCK_BYTES, start)
                start = stream.seek(start - size)
                block = stream.read(size) + block
    except FileNotFoundError:
        return []
    return block.decode("utf-8", errors="replace").splitlines()[-count:]
