"""When a schedule fires: the recurrences of Azure ML's pipelines, in UTC."""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bankmlops.errors import InvalidRequestError

_FREQUENCIES = {"0": "Month", "1": "Week", "2": "Day", "3": "Hour", "4": "Minute"}
_STEPS = {"Week": timedelta(weeks=1), "Day": timedelta(days=1), "Hour": timedelta(hours=1), "Minute": timedelta(minutes=1)}
_WEEK_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_UTC_NAMES = (None, "", "UTC", "Coordinated Universal Time")
MAXIMUM_INTERVAL = 1000


def check_recurrence(recurrence: Mapping[str, Any]) -> None:
    """Raise `InvalidRequestError` for a recurrence that is wrong, or that is not followed here."""
    if recurrence.get("TimeZone") not in _UTC_NAMES:
        raise InvalidRequestError(f"time_zone {recurrence['TimeZone']!r} is not emulated; give the start time in UTC")
    if not 1 <= int(recurrence.get("Interval") or 0) <= MAXIMUM_INTERVAL:
        raise InvalidRequestError(f"interval {recurrence.get('Interval')!r}: give 1 to {MAXIMUM_INTERVAL}")
    if _detail(recurrence) and _frequency(recurrence) not in ("Day", "Week"):
        raise InvalidRequestError("hours, minutes and week_days go with the frequencies Day and Week alone")
    next(_moments(recurrence, datetime.now(UTC)))


def next_time(recurrence: Mapping[str, Any], created: datetime, after: datetime) -> datetime:
    """The first moment later than `after` at which the schedule fires; `created` is its start where none is given."""
    start = _start(recurrence) or created
    return next(moment for moment in _moments(recurrence, start) if moment > after and moment >= start)


def _moments(recurrence: Mapping[str, Any], start: datetime) -> Iterator[datetime]:
    interval = int(recurrence["Interval"])
    frequency = _frequency(recurrence)
    start = _start(recurrence) or start
    if _detail(recurrence):
        yield from _detailed(_detail(recurrence), frequency, interval, start)
    number = 0
    while True:
        yield _months_later(start, number * interval) if frequency == "Month" else start + number * interval * _STEPS[frequency]
        number += 1


def _detailed(detail: Mapping[str, Any], frequency: str, interval: int, start: datetime) -> Iterator[datetime]:
    """Every `interval` days or weeks: on these week days, at these hours and minutes."""
    week_days = [_week_day(each) for each in detail.get("WeekDays") or []] or (
        [start.weekday()] if frequency == "Week" else range(7)
    )
    times = [(hour, minute) for hour in detail.get("Hours") or [start.hour] for minute in detail.get("Minutes") or [start.minute]]
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    monday = midnight - timedelta(days=midnight.weekday())
    number = 0
    while True:
        day = midnight + timedelta(days=number)
        passed = (day - monday).days // 7 if frequency == "Week" else number
        if passed % interval == 0 and day.weekday() in week_days:
            yield from (day.replace(hour=int(hour), minute=int(minute)) for hour, minute in sorted(times))
        number += 1


def _detail(recurrence: Mapping[str, Any]) -> Mapping[str, Any]:
    return recurrence.get("Schedule") or {}


def _frequency(recurrence: Mapping[str, Any]) -> str:
    given = str(recurrence.get("Frequency"))
    frequency = _FREQUENCIES.get(given, given)
    if frequency not in _FREQUENCIES.values():
        raise InvalidRequestError(f"frequency {given!r}: choose one of {', '.join(_FREQUENCIES.values())}")
    return frequency


def _start(recurrence: Mapping[str, Any]) -> datetime | None:
    text = recurrence.get("StartTime")
    if not text:
        return None
    try:
        return datetime.fromisoformat(str(text)).replace(tzinfo=UTC)
    except ValueError as error:
        raise InvalidRequestError(f"start_time {text!r}: write it as 2026-11-30T09:00:00") from error


def _week_day(value: Any) -> int:
    text = str(value)
    if text in _WEEK_DAYS:
        return _WEEK_DAYS.index(text)
    if text.isdigit() and int(text) < len(_WEEK_DAYS):
        return int(text)
    raise InvalidRequestError(f"week day {value!r}: choose from {', '.join(_WEEK_DAYS)}")


def _months_later(start: datetime, months: int) -> datetime:
    year, month = divmod(start.month - 1 + months, 12)
    year, month = start.year + year, month + 1
    return start.replace(year=year, month=month, day=min(start.day, calendar.monthrange(year, month)[1]))
