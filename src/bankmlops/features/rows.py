"""Apply a feature specification to rows that came as JSON: they may hold what training held, and give the bytes that it gave."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence, Set
from functools import partial
from itertools import count
from typing import Any

import numpy

from bankmlops.errors import InvalidRequestError
from bankmlops.features.dates import SHOWN
from bankmlops.features.specification import ColumnKind, ColumnSpecification, DateReader, FeatureSpecification, reader_of
from bankmlops.features.text import shown
from bankmlops.features.transform import Matrix, filled
from bankmlops.features.words import places_of
from bankmlops.types import UnknownCategories

_SERVED = {
    ColumnKind.INTEGER: "a whole number",
    ColumnKind.NUMBER: "a number",
    ColumnKind.BOOLEAN: "true or false",
    ColumnKind.STRING: "a text",
}
_SHOWN_CATEGORIES = 10

_LARGEST = float(numpy.finfo(numpy.float32).max)

Row = Mapping[str, Any]
Wide = numpy.ndarray[Any, numpy.dtype[numpy.float64]]


def matrix_from_rows(
    specification: FeatureSpecification,
    rows: Sequence[Row],
    unknown_categories: UnknownCategories = UnknownCategories.SCORE,
) -> Matrix:
    """float32 [rows, width] of rows that each give every column, and beside them at most the label and what training dropped.

    Null is a missing value, and serves where training saw one; an unknown category is all zeros, or refused. Raises
    `InvalidRequestError` that names the row (from 0), the column, and what would serve.
    """
    values: list[float] = []
    for index, row in enumerate(rows):
        try:
            values += _row_values(specification, row)
        except (KeyError, TypeError, AttributeError, OverflowError):
            raise _explained(specification, index, row) from None
    if unknown_categories is UnknownCategories.REFUSE:
        _refuse_unknown(specification, rows)
    return _finite(specification, rows, values)


def _row_values(specification: FeatureSpecification, row: Row) -> list[float]:
    """The row's part of the matrix, with None for a gap. Any error says that something is wrong; `_explained` finds out what."""
    values: list[float] = [0.0] * specification.width
    for name, types, position in specification.numeric_positions:
        value = row[name]
        values[position] = value if type(value) in types else _whole(value)
    for name, types, positions in specification.category_positions:
        value = row[name]
        if type(value) not in types:
            raise TypeError
        code = positions.get(value)
        if code is not None:
            values[code] = 1.0
    for name, types, numbered in specification.number_positions:
        code = numbered.get(_category(row[name], types), -1)
        if code >= 0:
            values[code] = 1.0
    for name, types, columns, read in specification.date_positions:
        values[columns] = _numbers_of(row[name], types, read)
    for name, types, words in specification.word_positions:
        _mark_words(values, row[name], types, words)
    if len(row) != len(specification.columns) and not row.keys() <= specification.known:
        raise KeyError
    return values


def _whole(value: object) -> float:
    """A whole number as JavaScript and pandas may write it: 3.0 for 3."""
    if type(value) is float and value.is_integer():
        return value
    raise TypeError


def _numbers_of(value: Any, types: Set[type], read: DateReader) -> tuple[float, ...]:
    numbers = read(value) if type(value) in types else None
    if numbers is None:
        raise TypeError
    return numbers


def _mark_words(values: list[float], text: Any, types: Set[type], words: Mapping[str, int]) -> None:
    if type(text) not in types:
        raise TypeError
    for position in places_of(text, words):
        values[position] = 1.0


def _category(value: Any, types: Set[type]) -> float:
    """The number as a category: NaN where it is missing."""
    if type(value) not in types:
        value = _whole(value)
    number = math.nan if value is None else float(value)
    if value is not None and not abs(number) <= _LARGEST and not _is_float32(value):
        raise TypeError
    return number


def _finite(specification: FeatureSpecification, rows: Sequence[Row], values: list[float]) -> Matrix:
    """The matrix of the values, gaps filled. Raises `InvalidRequestError` for a number that float32 can't hold, such as NaN."""
    try:
        wide = numpy.array(values, dtype=numpy.float64).reshape(len(rows), specification.width)
    except OverflowError:
        raise next(filter(None, map(partial(_fault, specification), count(), rows))) from None
    if numpy.maximum.reduce(numpy.abs(wide), axis=None, initial=0.0) <= _LARGEST:  # not so where NaN is among them
        return wide.astype(numpy.float32)
    return _with_gaps(specification, rows, wide)


def _with_gaps(specification: FeatureSpecification, rows: Sequence[Row], wide: Wide) -> Matrix:
    with numpy.errstate(over="ignore"):
        matrix = wide.astype(numpy.float32)
    names = {position: name for name, _, position in specification.numeric_positions}
    for index, position in numpy.argwhere(~numpy.isfinite(matrix)).tolist():
        if rows[index][names[position]] is not None:
            raise _explained(specification, index, rows[index])
    return filled(specification, matrix)


def _refuse_unknown(specification: FeatureSpecification, rows: Sequence[Row]) -> None:
    columns = {column.name: column for column in specification.columns}
    for name, _, positions in specification.category_positions:
        for index, row in enumerate(rows):
            value = row[name]
            if value is not None and value not in positions:
                raise _unknown(index, columns[name], value)
    for name, _, numbered in specification.number_positions:
        for index, row in enumerate(rows):
            if row[name] is not None and float(row[name]) not in numbered:
                raise _unknown(index, columns[name], row[name])


def _unknown(index: int, column: ColumnSpecification, value: object) -> InvalidRequestError:
    served = _listed(column.values)
    return _at(index, column.name, f"{shown(value)} is no category that training saw; {served} would serve")


def _explained(specification: FeatureSpecification, index: int, row: object) -> InvalidRequestError:
    return _fault(specification, index, row) or InvalidRequestError(f"row {index}: can't be read")


def _fault(specification: FeatureSpecification, index: int, row: object) -> InvalidRequestError | None:
    """What is wrong with a row, where something is."""
    if not isinstance(row, Mapping):
        return InvalidRequestError(f"row {index}: a {type(row).__name__} where an object of column names and values would serve")
    for column in specification.columns:
        if column.name not in row:
            return _at(index, column.name, f"missing; give {_served(column)}")
        if not _fits(column, row[column.name]):
            return _at(index, column.name, f"{_as_json(row[column.name])} where {_served(column)} would serve")
    extra = min(row.keys() - specification.known, default=None)
    if extra is None:
        return None
    # The name is the caller's: it stands behind the colon, where a log that keeps no input cuts off.
    return InvalidRequestError(f"row {index}: the model was not trained with column {extra[:60]!r}; leave it out")


def _at(index: int, name: str, what: str) -> InvalidRequestError:
    return InvalidRequestError(f"row {index}, column {name!r}: {what}")


def _fits(column: ColumnSpecification, value: object) -> bool:
    if column.parts:
        return type(value) in column.json_types and reader_of(column)(value) is not None  # type: ignore[arg-type]
    if type(value) in column.json_types:
        return not column.kind.is_numeric or value is None or _is_float32(value)
    return column.kind is ColumnKind.INTEGER and type(value) is float and value.is_integer() and _is_float32(value)


def _is_float32(value: object) -> bool:
    try:
        with numpy.errstate(over="ignore"):
            return bool(numpy.isfinite(numpy.float32(value)))  # type: ignore[arg-type]
    except OverflowError:
        return False


def _served(column: ColumnSpecification) -> str:
    served = SHOWN if column.parts else _SERVED[column.kind]
    return f"{served} or null" if column.nullable else served


def _as_json(value: object) -> str:
    """A value as its sender wrote it, where that is short."""
    return json.dumps(value) if value is None or isinstance(value, bool | float) else shown(value)


def _listed(categories: tuple[str | bool | float, ...]) -> str:
    more = f" and {len(categories) - _SHOWN_CATEGORIES} more" if len(categories) > _SHOWN_CATEGORIES else ""
    return ", ".join(map(shown, categories[:_SHOWN_CATEGORIES])) + more
