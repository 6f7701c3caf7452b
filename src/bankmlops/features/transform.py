"""Apply a feature specification to whole columns, as training does; `rows` does it a row at a time, with the same result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import repeat
from typing import Any

import numpy

from bankmlops.errors import InvalidRequestError
from bankmlops.features.dates import SHOWN
from bankmlops.features.specification import DateReader, FeatureSpecification
from bankmlops.features.text import shown, texts_of
from bankmlops.features.words import places_of

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
    for name, _, position in specification.numeric_positions:
        matrix[:, position] = _numbers(name, columns[name])
    for name, _, positions in specification.category_positions:
        _mark(matrix, map(positions.get, texts_of(columns[name]), repeat(-1)))
    for name, _, numbered in specification.number_positions:
        _mark(matrix, map(numbered.get, _wide_numbers(name, columns[name]).tolist(), repeat(-1)))
    for name, _, places, read in specification.date_positions:
        matrix[:, places] = _read_dates(name, columns[name], read)
    for name, _, words in specification.word_positions:
        for row, text in enumerate(texts_of(columns[name])):
            matrix[row, places_of(text, words)] = 1.0
    return filled(specification, matrix)


def _read_dates(name: str, array: Array, read: DateReader) -> Array:
    texts = texts_of(array)
    numbered: dict[str | None, int] = {}
    indices = [numbered.setdefault(text, len(numbered)) for text in texts]
    numbers = [read(text) for text in numbered]
    if None in numbers:
        row = next(row for row, index in enumerate(indices) if numbers[index] is None)
        raise InvalidRequestError(f"column {name!r}, row {row}: {shown(texts[row])} where {SHOWN} would serve")
    return numpy.array(numbers, dtype=numpy.float32)[indices] if texts else numpy.zeros((0, 1), dtype=numpy.float32)


def _mark(matrix: Matrix, positions: Iterable[int]) -> None:
    """Put a 1 into each row at its position, and nothing where that is negative."""
    codes = numpy.fromiter(positions, dtype=numpy.int64, count=len(matrix))
    known = numpy.flatnonzero(codes >= 0)
    matrix[known, codes[known]] = 1.0


def _numbers(name: str, array: Array) -> Matrix:
    with numpy.errstate(over="ignore"):  # beyond float32 counts as missing
        # By way of float64, as a row's number goes: an int64 rounded straight to float32 can differ in the last bit.
        return _wide_numbers(name, array).astype(numpy.float32)


def _wide_numbers(name: str, array: Array) -> numpy.ndarray[Any, numpy.dtype[numpy.float64]]:
    try:
        return array.astype(numpy.float64)
    except (ValueError, TypeError) as error:
        raise InvalidRequestError(f"column {name!r}: text where numbers would serve ({error})") from error


def filled(specification: FeatureSpecification, matrix: Matrix) -> Matrix:
    """The matrix with each column's fill where it holds no finite number."""
    finite = numpy.isfinite(matrix)
    if finite.all():
        return matrix
    return numpy.where(finite, matrix, specification.fills)


def encode_labels(specification: FeatureSpecification, array: Array) -> Labels:
    """int64 [rows]: the index of each label in `classes`. Raises `InvalidRequestError` for a missing or an unknown one."""
    texts = texts_of(array)
    codes = numpy.fromiter(map(specification.class_codes.get, texts, repeat(-1)), dtype=numpy.int64, count=len(texts))  # type: ignore[arg-type]
    unknown = numpy.flatnonzero(codes < 0)
    if unknown.size:
        row = int(unknown[0])
        served = ", ".join(specification.classes[:10])
        found = "missing; one" if texts[row] is None else f"{shown(texts[row])} where one"
        raise InvalidRequestError(f"row {row}, label {specification.label_column!r}: {found} of {served} would serve")
    return codes
