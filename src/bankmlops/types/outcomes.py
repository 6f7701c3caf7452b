"""What really happened after a model had answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """What really happened after a request: the true label of its row number `row`, by the id in its `x-request-id` header."""

    request_id: str
    label: str
    row: int = 0


@dataclass(frozen=True, slots=True)
class RefusedOutcome:
    """An outcome that was not stored: its place among those that were sent, from 0, and why, in one line.

    `kind` is the word of the error that it is: "NotFound", "BadRequest" or "Conflict".
    """

    index: int
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class OutcomeReceipt:
    """What became of outcomes: those `stored` now, those `repeated` from before, and of the `refused` the first few."""

    stored: int
    repeated: int
    refused: int
    refusals: tuple[RefusedOutcome, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """A row that an endpoint was asked for, what it answered, and what really happened; `number` is its place among them.

    Times are ISO 8601 in UTC: `time` of the request, `arrived` of the label.
    """

    number: int
    request_id: str
    row: int
    time: str
    arrived: str
    model: str
    inputs: Mapping[str, Any]
    answer: str
    label: str
