"""Dates as numbers: how a text is read as a moment, and which numbers it becomes. One rule for training and for scoring.

A date is ISO 8601 with four digits for the year, and a time of day behind a T or a space, if it has one; a moment with an offset
is taken in UTC, one without as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

PARTS = ("year", "month", "day", "dayofweek", "dayofyear", "hour", "minute", "second")  # pandas' names; Monday is 0
SHOWN = "a date such as 2026-01-31 or 2026-01-31T12:30:00Z"
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII)  # Arrow writes +0100


def moment_of(text: str) -> datetime | None:
    """The moment, without a time zone; None where the text is none."""
    if not _ISO.fullmatch(text):
        return None
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found
    except (ValueError, OverflowError):
        return None


def parts_of(text: str) -> tuple[int, ...] | None:
    """The numbers of `PARTS`; None where the text is no date."""
    moment = moment_of(text)
    if moment is None:
        return None
    day = moment.timetuple()
    return moment.year, moment.month, moment.day, day.tm_wday, day.tm_yday, moment.hour, moment.minute, moment.second


def are_dates(texts: Iterable[str | None]) -> bool:
    """Whether each of the texts that are there is a date, and one is there."""
    present = [text for text in texts if text is not None]
    return bool(present) and all(moment_of(text) is not None for text in present)
