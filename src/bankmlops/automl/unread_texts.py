"""Texts that a person reads as numbers or dates, and training as no more than texts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy

Array = numpy.ndarray[Any, Any]

SHARE = 0.8  # of a column's values: so many make it one of such texts
_DECIMAL_COMMA = re.compile(r"-?(\d+|\d{1,3}(\.\d{3})+)?,\d+", re.ASCII)
_LOCAL_DATE = re.compile(r"(\d{1,2}([./-])\d{1,2}\2\d{4}|\d\d([./-])\d\d\3\d\d)([ T]\d{1,2}:\d\d(:\d\d)?)?", re.ASCII)


def mostly(columns: Mapping[str, Array], is_such: Callable[[str], bool]) -> dict[str, list[str]]:
    """The columns most of whose values are such texts, each with its other texts, the most frequent first."""
    return {name: others for name, array in columns.items() if (others := _others(array, is_such)) is not None}


def first_such(array: Array, is_such: Callable[[str], bool]) -> str:
    """The first such text of a column, "" where there is none."""
    return next((str(value) for value in array.tolist() if value is not None and is_such(str(value))), "")


def is_number(text: str) -> bool:
    """Whether it is a number, with a decimal point or a decimal comma."""
    try:
        float(text)
    except ValueError:
        return has_decimal_comma(text)
    return text.strip().lower() not in {"nan", "inf", "-inf", "infinity"}


def has_decimal_comma(text: str) -> bool:
    """Whether it is a number with a decimal comma, such as 1.234,5."""
    return _DECIMAL_COMMA.fullmatch(text.strip()) is not None


def is_local_date(text: str) -> bool:
    """Whether it is a date as one country or another writes it, such as 31.01.2026 or 1/31/2026 12:30."""
    return _LOCAL_DATE.fullmatch(text.strip()) is not None


def _others(array: Array, is_such: Callable[[str], bool]) -> list[str] | None:
    """The texts of a column that are no such, the most frequent first; None where most of its values are none."""
    if array.dtype.kind not in "OUT":
        return None
    counts = Counter(value for value in array.tolist() if value is not None)
    others = {text: count for text, count in counts.items() if not is_such(str(text))}
    if not counts or sum(others.values()) > (1 - SHARE) * sum(counts.values()):
        return None
    return sorted(others, key=lambda text: (-others[text], text))
