"""A stream of two files: what it may hold, and what is refused in one line that names the row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy
import pytest

from bankmlops.errors import InvalidRequestError
from bankmlops.online.stream import NEVER, Stream, read_stream

ROWS = "request_id,time,age\na,2026-01-01T08:00:00Z,30\nb,2026-01-02T08:00:00Z,40\nc,2026-01-02T09:00:00Z,50\n"
LABELS = "request_id,time,y\nb,2026-01-02T08:00:00Z,yes\na,2026-01-03T08:00:00Z,no\n"


def _read(folder: Path, rows: str = ROWS, labels: str = LABELS) -> Stream:
    (folder / "rows.csv").write_text(rows)
    (folder / "labels.csv").write_text(labels)
    return read_stream(folder / "rows.csv", folder / "labels.csv")


def test_labels_are_joined_to_rows(tmp_path: Path) -> None:
    """Rows are in the order of their time, labels in that of their arrival, which may be their row's own moment."""
    stream = _read(tmp_path)
    assert stream.labels.tolist() == ["no", "yes", None]
    assert stream.arrival_order.tolist() == [1, 0]
    assert stream.arrivals[1] == stream.times[1]
    assert stream.arrivals[2] == NEVER


def test_ids_that_are_numbers(tmp_path: Path) -> None:
    """They are as good as texts."""
    stream = _read(tmp_path, "request_id,time,age\n1,2026-01-01,30\n2,2026-01-02,40\n", "request_id,time,y\n2,2026-01-02,yes\n")
    assert stream.labels.tolist() == [None, "yes"]


@pytest.mark.parametrize(
    ("rows", "labels", "message"),
    [
        (ROWS.replace("\nc", "\na"), LABELS, r"rows\.csv, row 3: request 'a' is row 1 too; one of each would serve"),
        (ROWS, LABELS + "d,2026-01-04T08:00:00Z,no\n", r"labels\.csv, row 3: request 'd' is no row of .*rows\.csv"),
        (ROWS, LABELS + "b,2026-01-04T08:00:00Z,no\n", r"labels\.csv, row 3: request 'b' has a label already; one would serve"),
        (ROWS, LABELS + "c,2026-01-04T08:00:00Z,\n", r"labels\.csv, row 3: request 'c' has an empty label; leave this row out"),
        (ROWS, LABELS + "c,2026-01-02T08:59:00Z,no\n", r"labels\.csv, row 3: the label of request 'c' came at 2026-01-02T08:59"),
        (ROWS, "request_id,time,y\nb,2026-01-02,no\n", r"row 1: the label of request 'b' .* a time as exact as the row's"),
        (ROWS.replace("2026-01-02T09:00:00Z", "NaT"), LABELS, r"rows\.csv, row 3: no time in column 'time'"),
        (ROWS, LABELS.replace("2026-01-03T08:00:00Z", "later"), r"labels\.csv: column 'time' holds something else"),
    ],
)
def test_what_is_refused(tmp_path: Path, rows: str, labels: str, message: str) -> None:
    """In one line, with what would serve."""
    with pytest.raises(InvalidRequestError, match=message) as refused:
        _read(tmp_path, rows, labels)
    assert "\n" not in str(refused.value)


def test_a_stream_that_goes_on(tmp_path: Path) -> None:
    """It is known again where its later rows came after all labels that there were before, and not where one came among these."""
    stream = replace(_read(tmp_path), times=numpy.array([1, 2, 9]), arrivals=numpy.array([2, 5, 9]))
    first = Stream({"age": stream.columns["age"][:2]}, "y", stream.labels[:2], stream.times[:2], stream.arrivals[:2])
    assert stream.fingerprint(2) == first.fingerprint(2)
    assert replace(stream, times=numpy.array([1, 2, 4])).fingerprint(2) == ""
