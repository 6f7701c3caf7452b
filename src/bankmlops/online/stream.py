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
from bankmlops.types import LabelledRow

Array = numpy.ndarray[Any, Any]
Columns = Mapping[str, Array]

NEVER = numpy.iinfo(numpy.int64).max


@dataclass(frozen=True)
class Stream:
    """`columns` name -> [rows] without the label, `labels` object [rows] of str, None where none arrived.

    `times` int64 [rows] in ascending order and `arrivals` int64 [rows] are moments of one clock, such as milliseconds since 1970;
    `arrivals` is `NEVER` where no label arrived.
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
        """A sha256 of all that is learnt from the first `rows` rows; "" where a later row's label came between those of these."""
        if rows < self.rows and self.arrivals[:rows].max() > self.arrivals[rows:].min():
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

    Raises `InvalidRequestError` where a column is missing, a time is none, or two labels are of one row.
    """
    columns = columns_of(read_table(rows))
    arrived = columns_of(read_table(labels))
    for file, found in ((rows, columns), (labels, arrived)):
        missing = [name for name in (REQUEST_ID, TIME) if name not in found]
        if missing:
            raise InvalidRequestError(f"{file}: no column {missing[0]!r}; `bankmlops data synthesize --drift` writes such files")
    outcomes = read_outcomes(labels)
    name = next((each for each in reversed(arrived) if each not in (REQUEST_ID, TIME)), "y")
    places = {identity: place for place, identity in enumerate(columns[REQUEST_ID].tolist())}
    known = [places.get(outcome.request_id, -1) for outcome in outcomes]
    if -1 in known:
        raise InvalidRequestError(f"{labels}: request {outcomes[known.index(-1)].request_id!r} is no row of {rows}")
    if len(set(known)) < len(known):
        raise InvalidRequestError(f"{labels}: two labels of one request; one would serve")
    texts = numpy.full(len(places), None, dtype=object)
    arrivals = numpy.full(len(places), NEVER, dtype=numpy.int64)
    texts[known] = [outcome.label for outcome in outcomes]
    arrivals[known] = _milliseconds(labels, arrived[TIME])
    inputs = {key: array for key, array in columns.items() if key not in (REQUEST_ID, TIME)}
    return _ordered(inputs, name, texts, _milliseconds(rows, columns[TIME]), arrivals)


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


def _milliseconds(file: Path, texts: Array) -> Array:
    try:
        bare = [str(text).removesuffix("Z").removesuffix("+00:00") for text in texts.tolist()]
        return numpy.array(bare, dtype="datetime64[ms]").astype(numpy.int64)
    except ValueError as error:
        raise InvalidRequestError(f"{file}: column {TIME!r} holds something else than times in UTC ({error})") from error
