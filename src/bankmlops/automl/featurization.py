"""Columns as the configuration wants them taken: left out, as numbers, as categories, or all as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy

from bankmlops.errors import InvalidRequestError
from bankmlops.features.dates import SHOWN, moment_of
from bankmlops.types import ColumnPurpose, Featurization, FeaturizationMode

Array = numpy.ndarray[Any, Any]

_NUMBERS, _TRUTHS = "iuf", "b"


def apply_purposes(columns: Mapping[str, Array], featurization: Featurization, label_column: str) -> dict[str, Array]:
    """The columns that are left, as they are to be taken. Raises `InvalidRequestError` where a column can't be taken so."""
    ignored = ignored_columns(columns, featurization)
    kept = {name: array for name, array in columns.items() if name not in ignored}
    for name, purpose in featurization.column_purposes.items():
        if purpose is ColumnPurpose.NUMERIC:
            kept[name] = _as_numbers(name, kept[name])
        elif purpose is ColumnPurpose.DATETIME:
            _check_dates(name, kept[name])
        elif purpose is ColumnPurpose.TEXT:
            _check_texts(name, kept[name])
    if featurization.mode is FeaturizationMode.OFF:
        for name in kept.keys() - {label_column}:
            _check_plain(name, kept[name])
    return kept


def ignored_columns(columns: Mapping[str, Array], featurization: Featurization) -> tuple[str, ...]:
    """The columns that are left out, in the table's order."""
    purposes = featurization.column_purposes
    return tuple(name for name in columns if name in featurization.drop_columns or purposes.get(name) is ColumnPurpose.IGNORE)


def categorical_columns(featurization: Featurization) -> tuple[str, ...]:
    """The columns whose values, numbers too, are categories."""
    return tuple(name for name, purpose in featurization.column_purposes.items() if purpose is ColumnPurpose.CATEGORICAL)


def text_columns(featurization: Featurization) -> tuple[str, ...]:
    """The columns whose texts are read for their words."""
    return tuple(name for name, purpose in featurization.column_purposes.items() if purpose is ColumnPurpose.TEXT)


def _as_numbers(name: str, array: Array) -> Array:
    if array.dtype.kind in _NUMBERS:
        return array
    if array.dtype.kind in _TRUTHS:
        raise InvalidRequestError(f"column {name!r} holds true and false, which can't be Numeric; leave its purpose out")
    return numpy.array([_number(name, row, value) for row, value in enumerate(array.tolist())], dtype=numpy.float64)


def _number(name: str, row: int, value: object) -> float:
    if value is None:
        return numpy.nan
    try:
        return float(str(value))
    except ValueError:
        raise InvalidRequestError(
            f"column {name!r}, row {row}: {str(value)[:40]!r} is no number, so the column can't be Numeric; take it out there"
        ) from None


def _check_dates(name: str, array: Array) -> None:
    """A column of dates is taken for one by itself; what is asked for is that it be one."""
    if array.dtype.kind in _NUMBERS + _TRUTHS:
        raise InvalidRequestError(f"column {name!r} holds {array.dtype}, which can't be DateTime; {SHOWN} would serve")
    row = next((row for row, value in enumerate(array.tolist()) if value is not None and moment_of(str(value)) is None), None)
    if row is not None:
        shown = repr(str(array[row]))[:40]
        raise InvalidRequestError(f"column {name!r}, row {row}: {shown} is no DateTime; {SHOWN} would serve")


def _check_texts(name: str, array: Array) -> None:
    if array.dtype.kind in _NUMBERS + _TRUTHS:
        raise InvalidRequestError(f"column {name!r} holds {array.dtype}, which can't be Text; texts of several words would serve")


def _check_plain(name: str, array: Array) -> None:
    if array.dtype.kind not in _NUMBERS + _TRUTHS:
        raise InvalidRequestError(f"featurization off: column {name!r} holds text; numbers would serve, or featurization auto")
    if array.dtype.kind == "f" and not numpy.isfinite(array).all():
        row = int(numpy.flatnonzero(~numpy.isfinite(array))[0])
        raise InvalidRequestError(
            f"featurization off: column {name!r}, row {row}: a gap; numbers would serve, or featurization auto"
        )
