"""Reads a file of labels that came back: a request's id, its label, and which of its rows it is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bankmlops.datasets.columns import Array, columns_of
from bankmlops.datasets.reading import read_table
from bankmlops.errors import InvalidRequestError
from bankmlops.features import text_of
from bankmlops.types import Outcome

REQUEST_ID, ROW, TIME = "request_id", "row", "time"
_NO_LABEL = frozenset({REQUEST_ID, ROW, TIME})


def read_outcomes(file: Path, label: str | None = None) -> list[Outcome]:
    """The outcomes in the order of the file; the label is in the column of that name, or in `y`, or in the last.

    A label is the class that training would make of it. Raises `InvalidRequestError` where a column is missing, or `row` holds
    something else than whole numbers.
    """
    columns = columns_of(read_table(file))
    return _outcomes(file, columns, _label_column(file, columns, label))


def read_written_outcomes(file: Path, label: str | None = None) -> list[Outcome]:
    """The same with a CSV file's labels as they are written, such as 01: nobody knows here whether the classes are texts."""
    columns = columns_of(read_table(file))
    name = _label_column(file, columns, label)
    if columns[name].dtype.kind != "O":
        columns[name] = columns_of(read_table(file, [name]))[name]
    return _outcomes(file, columns, name)


def _label_column(file: Path, columns: Mapping[str, Array], label: str | None) -> str:
    name = label or ("y" if "y" in columns else next((name for name in reversed(list(columns)) if name not in _NO_LABEL), "y"))
    missing = [each for each in (REQUEST_ID, name) if each not in columns]
    if missing:
        raise InvalidRequestError(f"{file}: no column {missing[0]!r}; it has {', '.join(columns)}")
    return name


def _outcomes(file: Path, columns: Mapping[str, Array], name: str) -> list[Outcome]:
    ids, labels = ([text_of(value) or "" for value in columns[each].tolist()] for each in (REQUEST_ID, name))
    return [Outcome(*each) for each in zip(ids, labels, _numbers(file, columns, len(ids)), strict=True)]


def _numbers(file: Path, columns: Mapping[str, Array], count: int) -> Sequence[int]:
    if ROW not in columns:
        return [0] * count
    if columns[ROW].dtype.kind not in "iu":
        raise InvalidRequestError(f"{file}: column {ROW!r} holds something else than whole numbers")
    return [int(number) for number in columns[ROW].tolist()]
