"""How a category or a label is written as text: one rule, so that JSON, CSV and Parquet agree on what `1` and `true` mean."""

from __future__ import annotations

import math
from typing import Any

import numpy

from bankmlops.errors import InvalidRequestError


def text_of(value: object) -> str | None:
    """The text of one category or label; None where it is missing.

    Text stays as it is, 1 and 1.0 are "1", true is "True", NaN and null are missing. Raises `InvalidRequestError` for anything
    that is not a single value.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | numpy.bool_):
        return "True" if value else "False"
    if isinstance(value, int | numpy.integer):
        return str(int(value))
    if isinstance(value, float | numpy.floating):
        return _text_of_float(float(value))
    raise InvalidRequestError(f"a {type(value).__name__} where a text, a number, true, false or null would serve")


def _text_of_float(value: float) -> str | None:
    if math.isnan(value):
        return None
    return str(int(value)) if value.is_integer() else repr(value)


def texts_of(array: numpy.ndarray[Any, Any]) -> list[str | None]:
    """The text of each value of a 1-d array."""
    return [value if type(value) is str or value is None else text_of(value) for value in array.tolist()]


def shown(value: object) -> str:
    """A value as a message shows it: short, whatever it is."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
