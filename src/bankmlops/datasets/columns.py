"""A table as numpy arrays, one a column: what `features.fit` and AutoML take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
import pyarrow as pa
import pyarrow.compute as pc

Array = numpy.ndarray[Any, Any]


def columns_of(table: pa.Table) -> dict[str, Array]:
    """Name -> 1-d array [rows]: int64, float64 (null is NaN), bool, or object of str and None."""
    return {name: _array_of(table.column(name)) for name in table.column_names}


def _array_of(column: pa.ChunkedArray) -> Array:
    if pa.types.is_string(column.type):
        return _texts_of(column)
    if pa.types.is_boolean(column.type):
        return _booleans_of(column)
    if pa.types.is_integer(column.type) and column.null_count:
        column = column.cast(pa.float64(), safe=False)
    return numpy.asarray(column.to_numpy())


def _texts_of(column: pa.ChunkedArray) -> Array:
    """Equal texts share one object, so that ten million rows of a category cost a pointer each."""
    encoded = column.combine_chunks().dictionary_encode()
    texts = numpy.array([*encoded.dictionary.to_pylist(), None], dtype=object)
    codes = pc.fill_null(encoded.indices, len(texts) - 1).to_numpy(zero_copy_only=False)
    return numpy.asarray(texts[codes])


def _booleans_of(column: pa.ChunkedArray) -> Array:
    if not column.null_count:
        return numpy.asarray(column.to_numpy())
    texts = numpy.array(["False", "True", None], dtype=object)
    codes = pc.fill_null(column.cast(pa.int8()), 2).to_numpy()
    return numpy.asarray(texts[codes])


def guess_label(columns: Sequence[str]) -> str | None:
    """The label where nobody named one: `y` if there is such a column, otherwise the last; None where there are no columns."""
    if "y" in columns:
        return "y"
    return columns[-1] if columns else None
