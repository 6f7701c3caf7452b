"""A stream as the loop reads it: rows in the order of their time, each with its label and the moment when that arrived."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy

from bankmlops.datasets import columns_of, read_table
from bankmlops.datasets.outcomes import REQUEST_ID, TIME, read_outcomes
from bankmlops.errors import InvalidRequestError
from bankmlops.features import text_of
from bankmlops.features.text import shown
from bankmlops.types import LabelledRow, Outcome

Array = numpy.ndarray[Any, Any]
Columns = Mapping[str, Array]

NEVER = numpy.iinfo(numpy.int64).max


@dataclass(frozen=True)
class Stream:
    """`columns` name -> [rows] without the label, `labels` object [rows] of str, None where none arrived.

    `times` int64 [rows] in ascending order and `arrivals` int64 [rows] are moments of one clock, such as milliseconds since 1970;
    no label arrives before its row, and `arrivals` is `NEVER` where none did.
    """

    columns: Columns
    label_column: str
    labels: Array
    times: Array
    arrivals: Array

    @cached_property
    def rows(self) -> int:
        """How many rows it has."""
        return len(self.times)

    @cached_property
    def arrival_order(self) -> Array:
        """int64 [labelled rows]: the rows with a label, in the order in which these arrived."""
        order = numpy.argsort(self.arrivals, kind="stable")
        return numpy.asarray(order[self.arrivals[order] != NEVER])

    def fingerprint(self, rows: int) -> str:
        """A sha256 of all that is learnt from the first `rows` rows; "" where a later row, or its label, came before the last
        label of these."""
        if rows < self.rows and self.arrivals[:rows].max() > min(self.times[rows], self.arrivals[rows:].min()):
            return ""
        digest = hashlib.sha256(repr([*self.columns, self.label_column]).encode())
        for array in (self.times, self.arrivals):
            digest.update(numpy.ascontiguousarray(array[:rows]).tobytes())
        for texts in (self.labels, *self.columns.values()):
            digest.update(repr(texts[:rows].tolist()).encode())
        return digest.hexdigest()

    def take(self, rows: Array | slice) -> Columns:
        """Some of the rows, label included, as training takes them."""
        taken = {name: array[rows] for name, array in self.columns.items()}
        return {**taken, self.label_column: self.labels[rows]}


def read_stream(rows: Path, labels: Path) -> Stream:
    """The stream that two files hold: rows with `request_id` and `time`, labels with both and the label.

    Raises `InvalidRequestError` where a column is missing, a time is none, a request has two rows or two labels, a label is empty
    or came before its row.
    """
    columns = columns_of(read_table(rows))
    arrived = columns_of(read_table(labels))
    for file, found in ((rows, columns), (labels, arrived)):
        missing = [name for name in (REQUEST_ID, TIME) if name not in found]
        if missing:
            raise InvalidRequestError(f"{file}: no column {missing[0]!r}; `bankmlops data synthesize --drift` writes such files")
    outcomes = read_outcomes(labels)
    name = next((each for each in reversed(arrived) if each not in (REQUEST_ID, TIME)), "y")
    places = _places(rows, [text_of(value) or "" for value in columns[REQUEST_ID].tolist()])
    _check_outcomes(labels, outcomes, rows, places)
    known = [places[outcome.request_id] for outcome in outcomes]
    times, moments = _milliseconds(rows, columns[TIME]), _milliseconds(labels, arrived[TIME])
    _check_moments(labels, outcomes, moments, times[known])
    texts = numpy.full(len(places), None, dtype=object)
    arrivals = numpy.full(len(places), NEVER, dtype=numpy.int64)
    texts[known] = [outcome.label for outcome in outcomes]
    arrivals[known] = moments
    inputs = {key: array for key, array in columns.items() if key not in (REQUEST_ID, TIME)}
    return _ordered(inputs, name, texts, times, arrivals)


def stream_of(rows: Sequence[LabelledRow], label_column: str) -> Stream:
    """The stream of what an endpoint was asked and what really happened, in the order in which the labels arrived.

    A row is predicted when its label is there, before that is learnt: labels may have been brought in many at once, so their
    times say little. Raises `InvalidRequestError` for rows of unlike columns.
    """
    import pyarrow

    try:
        table = pyarrow.Table.from_pylist([dict(row.inputs) for row in rows])
    except pyarrow.ArrowException as error:
        raise InvalidRequestError(f"the collected inputs make no table ({str(error).splitlines()[0]})") from error
    columns = {name: array for name, array in columns_of(table).items() if name != label_column}
    labels = numpy.array([row.label for row in rows], dtype=object)
    numbers = numpy.array([row.number for row in rows], dtype=numpy.int64)
    return Stream(columns, label_column, labels, numbers, numbers)


def _ordered(columns: Columns, label_column: str, labels: Array, times: Array, arrivals: Array) -> Stream:
    order = numpy.argsort(times, kind="stable")
    return Stream(
        {name: array[order] for name, array in columns.items()}, label_column, labels[order], times[order], arrivals[order]
    )


def _places(rows: Path, ids: Sequence[str]) -> Mapping[str, int]:
    """Where each request's row is."""
    places: dict[str, int] = {}
    for place, identity in enumerate(ids):
        if places.setdefault(identity, place) != place:
            raise InvalidRequestError(
                f"{rows}, row {place + 1}: request {shown(identity)} is row {places[identity] + 1} too; one of each would serve"
            )
    return places


def _check_outcomes(labels: Path, outcomes: Sequence[Outcome], rows: Path, places: Mapping[str, int]) -> None:
    seen: set[str] = set()
    for number, outcome in enumerate(outcomes, 1):
        where = f"{labels}, row {number}: request {shown(outcome.request_id)}"
        if outcome.request_id not in places:
            raise InvalidRequestError(f"{where} is no row of {rows}")
        if outcome.request_id in seen:
            raise InvalidRequestError(f"{where} has a label already; one would serve")
        if not outcome.label:
            raise InvalidRequestError(f"{where} has an empty label; leave this row out until it is known")
        seen.add(outcome.request_id)


def _check_moments(labels: Path, outcomes: Sequence[Outcome], moments: Array, times: Array) -> None:
    """`moments` int64 [labels] of arrival, `times` those of the labels' rows."""
    early = numpy.flatnonzero(moments < times)
    if early.size:
        first = int(early[0])
        arrival, time = (each[first].astype("datetime64[ms]") for each in (moments, times))
        raise InvalidRequestError(
            f"{labels}, row {first + 1}: the label of request {shown(outcomes[first].request_id)} came at {arrival}, before its "
            f"row ({time}); a time as exact as the row's, and not before it, would serve"
        )


def _milliseconds(file: Path, texts: Array) -> Array:
    try:
        bare = [str(text).removesuffix("Z").removesuffix("+00:00") for text in texts.tolist()]
        moments = numpy.array(bare, dtype="datetime64[ms]")
    except ValueError as error:
        raise InvalidRequestError(f"{file}: column {TIME!r} holds something else than times in UTC ({error})") from error
    if numpy.isnat(moments).any():
        raise InvalidRequestError(f"{file}, row {int(numpy.isnat(moments).argmax()) + 1}: no time in column {TIME!r}")
    return moments.astype(numpy.int64)
