"""Learn a feature specification from a table: which columns say something, their categories, and what fills a gap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy

from bankmlops.errors import InvalidRequestError
from bankmlops.features.dates import PARTS, are_dates, parts_of
from bankmlops.features.specification import ColumnKind, ColumnSpecification, FeatureSpecification
from bankmlops.features.text import texts_of
from bankmlops.features.words import telling_words

Array = numpy.ndarray[Any, Any]

MAXIMUM_CATEGORIES = 64
IDENTIFIER_SHARE = 0.9

_KINDS = {
    "i": ColumnKind.INTEGER,
    "u": ColumnKind.INTEGER,
    "f": ColumnKind.NUMBER,
    "b": ColumnKind.BOOLEAN,
    "O": ColumnKind.STRING,
    "U": ColumnKind.STRING,
    "T": ColumnKind.STRING,
}


def fit(
    columns: Mapping[str, Array], label_column: str, categorical: Collection[str] = (), text: Collection[str] = ()
) -> FeatureSpecification:
    """Learn the specification of `columns` (name -> 1-d array of float, int, bool, or object of str and None; label included).

    A missing number is filled with the median. A categorical column is one-hot over its categories, the most frequent where
    there are more than `MAXIMUM_CATEGORIES`; the numbers of those in `categorical` are categories too. A column of nothing but
    dates has a column of the matrix for each part of a date that differs, unless it is in `categorical`. A column in `text` has
    one for each of the words that divide its rows most evenly. Constants and identifiers are left out. Raises
    `InvalidRequestError`.
    """
    if label_column not in columns:
        raise InvalidRequestError(f"no label column {label_column!r}; the columns are {', '.join(columns)}")
    classes = sorted({text for text in texts_of(columns[label_column]) if text is not None})
    fitted = {
        name: _fit_words(name, array) if name in text else _fit_column(name, array, name in categorical)
        for name, array in columns.items()
        if name != label_column
    }
    used = tuple(column for column in fitted.values() if column is not None)
    if not used:
        raise InvalidRequestError("no column to learn from: each is constant, an identifier or the label")
    dropped = tuple(name for name, column in fitted.items() if column is None)
    return FeatureSpecification(used, label_column, tuple(classes), dropped)


def _fit_column(name: str, array: Array, as_categories: bool) -> ColumnSpecification | None:
    kind = _KINDS.get(array.dtype.kind)
    if kind is None or array.ndim != 1:
        raise InvalidRequestError(f"column {name!r}: {array.dtype} where numbers, booleans or text would serve")
    if kind.is_numeric:
        return _fit_numbers(name, kind, array) if as_categories else _fit_numeric(name, kind, array)
    counts = Counter(texts_of(array))
    if kind is ColumnKind.STRING and not as_categories and are_dates(counts):
        return _fit_dates(name, counts)
    return _fit_categories(name, kind, counts)


def _fit_words(name: str, array: Array) -> ColumnSpecification | None:
    if _KINDS.get(array.dtype.kind) is not ColumnKind.STRING:
        raise InvalidRequestError(f"column {name!r}: {array.dtype} where text would serve")
    texts = texts_of(array)
    words = telling_words(texts)
    return ColumnSpecification(name, ColumnKind.STRING, nullable=None in texts, words=words) if words else None


def _fit_dates(name: str, counts: Counter[str | None]) -> ColumnSpecification | None:
    """The parts that differ among the rows; the fill of each is its median."""
    missing = counts.pop(None, 0)
    found = numpy.array([parts_of(text) for text in counts if text is not None], dtype=numpy.float64)
    rows = numpy.repeat(found, list(counts.values()), axis=0)
    kept = [place for place in range(len(PARTS)) if rows[:, place].min() < rows[:, place].max()]
    if not kept:
        return None
    fills = tuple(float(numpy.float32(numpy.median(rows[:, place]))) for place in kept)
    return ColumnSpecification(
        name, ColumnKind.STRING, nullable=missing > 0, parts=tuple(PARTS[place] for place in kept), fills=fills
    )


def _fit_numbers(name: str, kind: ColumnKind, array: Array) -> ColumnSpecification | None:
    """Numbers that are categories, as float64: that is what a row's number is compared as."""
    wide = array.astype(numpy.float64)
    with numpy.errstate(over="ignore"):  # beyond float32 counts as missing, as in any column of numbers
        present = numpy.isfinite(wide.astype(numpy.float32))
    counts = Counter(texts_of(numpy.where(present, wide, numpy.nan)))
    fitted = _fit_categories(name, kind, counts)
    return fitted and replace(fitted, categories=tuple(sorted(fitted.categories, key=float)))


def _fit_numeric(name: str, kind: ColumnKind, array: Array) -> ColumnSpecification | None:
    with numpy.errstate(over="ignore"):  # beyond float32 counts as missing
        values = array.astype(numpy.float64).astype(numpy.float32)
    present = values[numpy.isfinite(values)]
    if present.size == 0 or (present.min() == present.max() and present.size == values.size):
        return None
    if kind is ColumnKind.INTEGER and _is_row_number(array):
        return None
    return ColumnSpecification(
        name,
        kind,
        fill=float(numpy.median(present.astype(numpy.float64))),
        nullable=present.size < values.size,
        minimum=float(present.min()),
        maximum=float(present.max()),
    )


def _is_row_number(array: Array) -> bool:
    return int(array.max()) - int(array.min()) == array.size - 1 and numpy.unique(array).size == array.size > MAXIMUM_CATEGORIES


def _fit_categories(name: str, kind: ColumnKind, counts: Counter[str | None]) -> ColumnSpecification | None:
    rows = counts.total()
    missing = counts.pop(None, 0)
    if not counts or (len(counts) == 1 and not missing):
        return None
    if len(counts) > MAXIMUM_CATEGORIES and len(counts) > IDENTIFIER_SHARE * (rows - missing):
        return None
    return ColumnSpecification(name, kind, categories=_most_frequent(counts), nullable=missing > 0)


def _most_frequent(counts: Counter[str | None]) -> tuple[str, ...]:
    """All categories, or one fewer than the maximum where there are too many: the rest share the all-zero row."""
    texts = sorted((text for text in counts if text is not None), key=lambda text: (-counts[text], text))
    kept = texts if len(texts) <= MAXIMUM_CATEGORIES else texts[: MAXIMUM_CATEGORIES - 1]
    return tuple(sorted(kept))
