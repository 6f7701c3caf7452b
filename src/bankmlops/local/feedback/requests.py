"""Reads what an endpoint collected since the last look: whole lines of files that grow, and are rotated.

A file is known again by its first line, which has a request's id: its name changes when it is rotated, and inodes come back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from bankmlops.features import text_of
from bankmlops.local.serving.container_files import state_folder

MAXIMUM_BYTES_A_LOOK = 64 * 2**20
_NAMES = ("collected.1.jsonl", "collected.jsonl")


class CollectedRow(NamedTuple):
    """A row of a request: its time is ISO 8601, `inputs` JSON, `answer` the label that was given or the probabilities as JSON."""

    request_id: str
    row: int
    time: str
    model: str
    inputs: str
    answer: str


class Look(NamedTuple):
    """What is new in one file, and how far it is read: `end` bytes of the file that `name` stands for."""

    name: str
    end: int
    rows: Sequence[CollectedRow]


def collected_files(folder: Path) -> Iterator[Path]:
    """The files of an endpoint's folder, or of its container's, oldest first."""
    return (place / name for name in _NAMES for place in (folder, state_folder(folder)))


def look(path: Path, seen: Mapping[str, int]) -> Look | None:
    """What came since `seen` (bytes by name); None where the file is not there, or has no whole line.

    A line that is still being written is left for the next look.
    """
    with suppress(FileNotFoundError), path.open("rb") as file:
        first = file.readline()
        if not first.endswith(b"\n"):
            return None
        name = hashlib.sha256(first).hexdigest()
        begin = seen.get(name, 0)
        file.seek(begin)
        whole, _, _ = file.read(MAXIMUM_BYTES_A_LOOK).rpartition(b"\n")
        end = begin + len(whole) + (1 if whole else 0)
        return Look(name, end, [row for line in whole.splitlines() for row in _rows(line)])
    return None


def _rows(line: bytes) -> Iterator[CollectedRow]:
    """The rows of one request; a line that is no record has none."""
    with suppress(ValueError, KeyError, TypeError):
        record = json.loads(line)
        request = str(record["request_id"]), str(record["timestamp"]), str(record["model"])
        for number, (inputs, answer) in enumerate(zip(record["rows"], record["result"], strict=True)):
            yield _row(*request, number, inputs, answer)


def _row(request_id: str, time: str, model: str, number: int, inputs: Mapping[str, Any], answer: Any) -> CollectedRow:
    shown = json.dumps(answer) if isinstance(answer, list) else text_of(answer) or ""
    return CollectedRow(request_id, number, time, model, json.dumps(inputs, separators=(",", ":")), shown)
