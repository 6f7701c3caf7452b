"""Arrow columns to what the matrix is filled from, a whole column at a time, and which values can't serve.

It judges as `features.matrix_from_rows` judges a row, and gives the same bytes; the words for a refusal are that function's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy
import pyarrow as pa
import pyarrow.compute as pc

from bankmlops.errors import InvalidRequestError
from bankmlops.features import ColumnKind, ColumnSpecification, FeatureSpecification
from bankmlops.features.specification import reader_of
from bankmlops.features.words import places_of

Array = numpy.ndarray[Any, Any]
UNKNOWN, BAD = -1, -2


@dataclass(frozen=True, slots=True)
class Numbers:
    """float32 [rows] for the matrix column `position`, gaps filled."""

    position: int
    values: Array


@dataclass(frozen=True, slots=True)
class Categories:
    """int64 [rows]: the matrix column that is 1; negative where none is."""

    codes: Array


@dataclass(frozen=True, slots=True)
class Dates:
    """float32 [rows, width] for the matrix columns from `position` on: what was read in dates, gaps filled."""

    position: int
    values: Array


@dataclass(frozen=True, slots=True)
class Words:
    """The matrix columns that are 1 for each of several texts, and int64 [rows]: which of these a row has."""

    positions: Sequence[list[int]]
    indices: Array


Part = Numbers | Categories | Dates | Words


@dataclass(frozen=True, slots=True)
class Prepared:
    """A chunk's columns. `bad` is, for each column at fault, which rows are; the columns are in the specification's order."""

    parts: tuple[Part, ...]
    bad: Mapping[str, Array]


def prepare(specification: FeatureSpecification, columns: Mapping[str, pa.Array]) -> Prepared:
    """Read the specification's columns. Raises `InvalidRequestError` for a column whose very type can't serve."""
    positions = {name: codes for name, _, codes in specification.category_positions}
    numbered = {name: codes for name, _, codes in specification.number_positions}
    words = {name: places for name, _, places in specification.word_positions}
    parts: list[Part] = []
    bad: dict[str, Array] = {}
    for column, offset in zip(specification.columns, specification.offsets, strict=True):
        if column.is_numeric:
            values, faults = _numbers(column, columns[column.name])
            parts.append(Numbers(offset, values))
        elif column.parts:
            values, faults = _dates(column, columns[column.name])
            parts.append(Dates(offset, values))
        elif column.words:
            found, faults = _words(column, words[column.name], columns[column.name])
            parts.append(found)
        else:
            array = columns[column.name]
            if column.kind.is_numeric:
                codes = _codes_of_numbers(column, numbered[column.name], array)
            else:
                codes = _codes(column, positions[column.name], array)
            faults = codes == BAD
            parts.append(Categories(codes))
        if faults.any():
            bad[column.name] = faults
    return Prepared(tuple(parts), bad)


def fill(matrix: Array, prepared: Prepared, first: int, last: int) -> None:
    """Write the rows `first` to `last` into float32 `matrix` [last - first, width]."""
    matrix[:] = 0.0
    rows = numpy.arange(last - first)
    for part in prepared.parts:
        if isinstance(part, Numbers):
            matrix[:, part.position] = part.values[first:last]
            continue
        if isinstance(part, Dates):
            matrix[:, part.position : part.position + part.values.shape[1]] = part.values[first:last]
            continue
        if isinstance(part, Words):
            for row, index in enumerate(part.indices[first:last].tolist()):
                matrix[row, part.positions[index]] = 1.0
            continue
        codes = part.codes[first:last]
        known = codes >= 0
        if known.all():
            matrix[rows, codes] = 1.0
        else:
            matrix[rows[known], codes[known]] = 1.0


def value_of(column: ColumnSpecification, array: pa.Array, row: int) -> object:
    """One value as JSON would give it: a number where a text says one, None for what is missing."""
    value = array[row].as_py()
    if column.kind.is_numeric and isinstance(value, str):
        number = _number(value)
        return value if number is None else _as_json(number)
    return _as_json(value) if column.kind.is_numeric else value


def _as_json(value: Any) -> object:
    """Decimals become floats, NaN is missing."""
    number = value if value is None or isinstance(value, int) else float(value)
    return None if number != number else number  # noqa: PLR0124


def _numbers(column: ColumnSpecification, array: pa.Array) -> tuple[Array, Array]:
    """The float32 values, and which of them can't serve."""
    _, values, faults = _judged(column, array)
    finite = numpy.isfinite(values)
    if not finite.all():
        values[~finite] = column.fill
    return values, faults


def _judged(column: ColumnSpecification, array: pa.Array) -> tuple[Array, Array, Array]:
    """float64 and float32 [rows] with NaN for what is missing, and which of them can't serve."""
    exact, faults = _as_float64(column, array)
    with numpy.errstate(over="ignore"):
        values = exact.astype(numpy.float32)
    finite = numpy.isfinite(values)
    if not finite.all():
        infinite = ~finite & ~numpy.isnan(exact)
        faults = faults | infinite if column.nullable else faults | ~finite
    if column.kind is ColumnKind.INTEGER and not pa.types.is_integer(array.type):
        faults = faults | (finite & (exact != numpy.floor(exact)))
    return exact, values, faults


def _dates(column: ColumnSpecification, array: pa.Array) -> tuple[Array, Array]:
    """The float32 numbers, and which texts are no dates."""
    encoded, read = _encoded(column, array), reader_of(column)
    gap = read(None)
    found = [None if text is None else read(text) for text in encoded.dictionary.to_pylist()]
    table = numpy.array([*(gap if numbers is None else numbers for numbers in found), gap], dtype=numpy.float32)
    indices = _indices(encoded)
    return table[indices], numpy.array([*(numbers is None for numbers in found), not column.nullable])[indices]


def _words(column: ColumnSpecification, places: Mapping[str, int], array: pa.Array) -> tuple[Words, Array]:
    """Where each text has a 1, and which gaps can't serve."""
    encoded = _encoded(column, array)
    texts = [*encoded.dictionary.to_pylist(), None]
    indices = _indices(encoded)
    faults = numpy.array([text is None and not column.nullable for text in texts])[indices]
    return Words([places_of(text, places) for text in texts], indices), faults


def _codes_of_numbers(column: ColumnSpecification, positions: Mapping[float, int], array: pa.Array) -> Array:
    exact, _, faults = _judged(column, array)
    codes = numpy.fromiter(map(positions.get, exact.tolist(), repeat(UNKNOWN)), dtype=numpy.int64, count=len(exact))
    return numpy.where(faults, BAD, codes)


def _as_float64(column: ColumnSpecification, array: pa.Array) -> tuple[Array, Array]:
    """NaN for what is missing, and which values are no numbers."""
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    good = numpy.zeros(len(array), dtype=bool)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _from_texts(array)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        return numpy.asarray(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)), good
    raise InvalidRequestError(f"column {column.name!r}: {kind} where numbers would serve")


def _from_texts(array: pa.Array) -> tuple[Array, Array]:
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    found = [_number(text) if text is not None else numpy.nan for text in encoded.dictionary.to_pylist()]
    table = numpy.array([*(numpy.nan if number is None else number for number in found), numpy.nan])
    faults = numpy.array([*(number is None for number in found), False])
    indices = _indices(encoded)
    return table[indices], faults[indices]


def _number(text: str) -> float | None:
    """What Arrow reads from a CSV field, None where that is no number."""
    try:
        return float(pa.scalar(text.strip()).cast(pa.float64()).as_py())
    except pa.ArrowInvalid:
        return None


def _codes(column: ColumnSpecification, positions: Mapping[str | bool | None, int], array: pa.Array) -> Array:
    encoded = _encoded(column, array)
    otherwise = BAD if column.kind is ColumnKind.BOOLEAN else UNKNOWN
    missing = UNKNOWN if column.nullable else BAD
    values = encoded.dictionary.to_pylist()
    table = [missing if value is None else positions.get(value, otherwise) for value in values]
    return numpy.array([*table, missing], dtype=numpy.int64)[_indices(encoded)]


def _indices(encoded: pa.DictionaryArray) -> Array:
    """The index of each value, that behind the last one for null."""
    indices = encoded.indices
    if indices.null_count:
        indices = pc.fill_null(indices, len(encoded.dictionary))
    return numpy.asarray(indices.to_numpy(zero_copy_only=False))


def _encoded(column: ColumnSpecification, array: pa.Array) -> pa.DictionaryArray:
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    if pa.types.is_temporal(kind) or pa.types.is_null(kind):  # training made text of dates too
        array, kind = array.cast(pa.string()), pa.string()
    served = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not served and not (pa.types.is_boolean(kind) and column.holds_booleans):
        wanted = "booleans" if column.kind is ColumnKind.BOOLEAN else "text"
        raise InvalidRequestError(f"column {column.name!r}: {kind} where {wanted} would serve")
    return array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
