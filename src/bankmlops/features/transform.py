"""Apply a feature specification: a column at a time in training, a row at a time in scoring, with the same result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy

from bankmlops.errors import InvalidRequestError
from bankmlops.features.specification import ColumnSpecification, FeatureSpecification
from bankmlops.features.text import text_of, texts_of

Array = numpy.ndarray[Any, Any]
Matrix = numpy.ndarray[Any, numpy.dtype[numpy.float32]]
Labels = numpy.ndarray[Any, numpy.dtype[numpy.int64]]


def matrix_from_columns(specification: FeatureSpecification, columns: Mapping[str, Array]) -> Matrix:
    """float32 [rows, width] of whole columns (name -> 1-d array). Raises `InvalidRequestError` where one is missing."""
    missing = [column.name for column in specification.columns if column.name not in columns]
    if missing:
        raise InvalidRequestError(f"column {missing[0]!r} is missing; the columns are {', '.join(columns)}")
    rows = len(columns[specification.columns[0].name])
    matrix = numpy.zeros((rows, specification.width), dtype=numpy.float32)
    for name, position in specification.numeric_positions:
        matrix[:, position] = _numbers(name, columns[name])
    for name, positions in specification.category_positions:
        codes = numpy.fromiter(map(positions.get, texts_of(columns[name]), repeat(-1)), dtype=numpy.int64, count=rows)
        known = numpy.flatnonzero(codes >= 0)
        matrix[known, codes[known]] = 1.0
    return _filled(specification, matrix)


def _numbers(name: str, array: Array) -> Matrix:
    try:
        with numpy.errstate(over="ignore"):  # beyond float32 counts as missing
            # By way of float64, as a row's number goes: an int64 rounded straight to float32 can differ in the last bit.
            return array.astype(numpy.float64).astype(numpy.float32)
    except (ValueError, TypeError) as error:
        raise InvalidRequestError(f"column {name!r}: text where numbers would serve ({error})") from error


def _filled(specification: FeatureSpecification, matrix: Matrix) -> Matrix:
    finite = numpy.isfinite(matrix)
    if finite.all():
        return matrix
    return numpy.where(finite, matrix, specification.fills)


def matrix_from_rows(specification: FeatureSpecification, rows: Sequence[Mapping[str, object]]) -> Matrix:
    """float32 [rows, width] of rows that each give every column; null is a missing value, an unknown category is all zeros.

    Numbers may be given as text. Raises `InvalidRequestError` that names the row (from 0), the column, and what would serve.
    """
    width = specification.width
    values: list[float] = []
    for index, row in enumerate(rows):
        try:
            values += _row_values(specification, row, width)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError, InvalidRequestError) as error:
            raise _explained(specification, index, row) from error
    with numpy.errstate(over="ignore"):
        matrix = numpy.array(values, dtype=numpy.float64).astype(numpy.float32).reshape(len(rows), width)
    return _filled(specification, matrix)


def _row_values(specification: FeatureSpecification, row: Mapping[str, object], width: int) -> list[float]:
    values = [0.0] * width
    for name, position in specification.numeric_positions:
        value = row[name]
        values[position] = value if type(value) is float else _number(value)
    for name, positions in specification.category_positions:
        value = row[name]
        code = positions.get(value if type(value) is str else text_of(value))
        if code is not None:
            values[code] = 1.0
    return values


def _number(value: object) -> float:
    if value is None:
        return numpy.nan
    if isinstance(value, str):
        return _number_from_text(value)
    return float(value)  # type: ignore[arg-type]


def _number_from_text(text: str) -> float:
    if "_" in text:  # Python reads 1_000 as a number; data doesn't mean it so
        raise ValueError(text)
    return float(text) if text.strip() else numpy.nan


def _explained(specification: FeatureSpecification, index: int, row: object) -> InvalidRequestError:
    if not isinstance(row, Mapping):
        return InvalidRequestError(f"row {index}: a {type(row).__name__} where an object of column names and values would serve")
    for column in specification.columns:
        reason = _reason(column, row)
        if reason:
            return InvalidRequestError(f"row {index}, column {column.name!r}: {reason}")
    return InvalidRequestError(f"row {index}: can't be read")


def _reason(column: ColumnSpecification, row: Mapping[str, object]) -> str:
    if column.name not in row:
        return f"missing; give {_served(column)} or null"
    value = row[column.name]
    try:
        _number(value) if column.kind.is_numeric else text_of(value)
    except (TypeError, ValueError, OverflowError, InvalidRequestError):
        return f"{_shown(value)} where {_served(column)} or null would serve"
    return ""


def _served(column: ColumnSpecification) -> str:
    return "a number" if column.kind.is_numeric else "true, false" if column.kind == "boolean" else "a text"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def encode_labels(specification: FeatureSpecification, array: Array) -> Labels:
    """int64 [rows]: the index of each label in `classes`. Raises `InvalidRequestError` for a missing or an unknown one."""
    texts = texts_of(array)
    codes = numpy.fromiter(map(specification.class_codes.get, texts, repeat(-1)), dtype=numpy.int64, count=len(texts))  # type: ignore[arg-type]
    unknown = numpy.flatnonzero(codes < 0)
    if unknown.size:
        row = int(unknown[0])
        shown = ", ".join(specification.classes[:10])
        found = "missing; one" if texts[row] is None else f"{_shown(texts[row])} where one"
        raise InvalidRequestError(f"row {row}, label {specification.label_column!r}: {found} of {shown} would serve")
    return codes
