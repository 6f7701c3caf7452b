"""Values as the text that `state.db` holds: JSON for what has parts, ISO 8601 in UTC for times."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TypeVar

from bankmlops.local.pipelines.documents import from_document, to_document

T = TypeVar("T")


def now_text() -> str:
    """This moment, with microseconds."""
    return datetime.now(UTC).isoformat()


def time_of(text: str | None) -> datetime | None:
    """The time that `now_text` wrote; None for an empty column."""
    return datetime.fromisoformat(text) if text else None


def to_text(value: object) -> str:
    """A value of `types`, or a mapping or sequence, as JSON."""
    return json.dumps(to_document(value), sort_keys=True)


def from_text(kind: type[T], text: str) -> T:
    """The value that `to_text` wrote."""
    return from_document(kind, json.loads(text))
