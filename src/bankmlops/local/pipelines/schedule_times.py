"""When a schedule fires: crontab lines and recurrences in a time zone, across the changes of its clock. Knows no clock itself.

Minutes and hours of a recurrence are spans of time; days, weeks and months keep the time on the wall. Where the wall's clock
skips a time, the fire comes at the end of the skip; where it shows a time twice, at the first. A crontab line whose hour is `*`
fires in both of the hours that bear one name.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterBadDateError, croniter  # type: ignore[import-untyped]

from bankmlops.errors import InvalidRequestError
from bankmlops.types import Cron, Frequency, Recurrence, WeekDay

MAXIMUM_INTERVAL = 1000
_CRON = re.compile(r"[0-9A-Za-z*/,\-]+( [0-9A-Za-z*/,\-]+){4}")
_LONGEST_CRON = 200
_SPANS = {Frequency.MINUTE: timedelta(minutes=1), Frequency.HOUR: timedelta(hours=1)}
_DAYS = {Frequency.DAY: 1, Frequency.WEEK: 7}


def check_when(when: Cron | Recurrence) -> None:
    """Raise `InvalidRequestError` for a crontab line or a recurrence that can't serve."""
    zone_of(when.time_zone)
    if isinstance(when, Cron):
        _check_cron(when)
    else:
        _check_recurrence(when)


def next_fire(when: Cron | Recurrence, anchor: datetime, after: datetime) -> datetime | None:
    """The first moment later than `after`, and not before `anchor`, at which it fires, in UTC; None where there is none.

    A recurrence counts from the `anchor`.
    """
    zone = zone_of(when.time_zone)
    if isinstance(when, Cron):
        return _next_of_cron(when.expression, zone, max(after, anchor - timedelta(microseconds=1)))
    if when.frequency in _SPANS:
        return _next_span(_SPANS[when.frequency] * when.interval, anchor.astimezone(UTC), after)
    moments = (
        moment_of(wall, zone) for wall in _walls(when, anchor.astimezone(zone).replace(tzinfo=None), after.astimezone(zone))
    )
    return next(moment for moment in moments if moment > after and moment >= anchor)


def zone_of(name: str) -> ZoneInfo:
    """The time zone of an IANA name. Raises `InvalidRequestError`."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidRequestError(f"time zone {name!r} is unknown; give an IANA name, such as Europe/Berlin or UTC") from None


def moment_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """The moment, in UTC, at which the zone's clock shows this time: the first of two; the end of the skip that swallows it."""
    first = wall.replace(tzinfo=zone).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == wall:
        return first
    return _end_of_skip(wall.replace(tzinfo=zone, fold=1).astimezone(UTC), first, zone)


def _end_of_skip(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The moment between these two at which the zone's offset changes, to the second."""
    offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


def _next_of_cron(expression: str, zone: ZoneInfo, after: datetime) -> datetime | None:
    moments = croniter(expression, after.astimezone(zone))
    every_hour = expression.split()[1] == "*"
    try:
        moment: datetime = moments.get_next(datetime)
        while moment.fold and not every_hour:
            moment = moments.get_next(datetime)
    except CroniterBadDateError:
        return None
    return moment.astimezone(UTC)


def _next_span(span: timedelta, anchor: datetime, after: datetime) -> datetime:
    passed = (after - anchor) // span + 1
    return anchor + max(passed, 0) * span


def _walls(recurrence: Recurrence, anchor: datetime, after: datetime) -> Iterator[datetime]:
    """The times on the wall at which it fires, in order, beginning with one that is not later than `after`."""
    if recurrence.frequency is Frequency.MONTH:
        return _months(recurrence.interval, anchor, after)
    return _days(recurrence, anchor, after)


def _months(interval: int, anchor: datetime, after: datetime) -> Iterator[datetime]:
    """A day that a month lacks is its last."""
    passed = (after.year - anchor.year) * 12 + after.month - anchor.month
    number = max(passed // interval - 1, 0)
    while True:
        years, month = divmod(anchor.month - 1 + number * interval, 12)
        year, month = anchor.year + years, month + 1
        yield anchor.replace(year=year, month=month, day=min(anchor.day, calendar.monthrange(year, month)[1]))
        number += 1


def _days(recurrence: Recurrence, anchor: datetime, after: datetime) -> Iterator[datetime]:
    """Whole periods of `interval` days or weeks are counted from the anchor's day, or from the Monday of its week."""
    weekly = recurrence.frequency is Frequency.WEEK
    first = anchor.date() - timedelta(days=anchor.weekday()) if weekly else anchor.date()
    period = _DAYS[recurrence.frequency] * recurrence.interval
    start = first + timedelta(days=max((after.date() - first).days // period - 1, 0) * period)
    times = _times(recurrence, anchor)
    while True:
        for day in _days_of_period(recurrence, anchor, start):
            yield from (datetime.combine(day, each) for each in times)
        start += timedelta(days=period)


def _days_of_period(recurrence: Recurrence, anchor: datetime, start: date) -> Iterator[date]:
    if recurrence.frequency is Frequency.DAY:
        return iter([start])
    order = tuple(WeekDay)
    wanted = {order.index(day) for day in recurrence.week_days} or {anchor.weekday()}
    return (start + timedelta(days=number) for number in sorted(wanted))


def _times(recurrence: Recurrence, anchor: datetime) -> list[time]:
    if not recurrence.hours and not recurrence.minutes:
        return [anchor.time()]
    hours, minutes = recurrence.hours or (anchor.hour,), recurrence.minutes or (anchor.minute,)
    return sorted(time(hour, minute) for hour in set(hours) for minute in set(minutes))


def _check_cron(cron: Cron) -> None:
    text = cron.expression
    if len(text) > _LONGEST_CRON or not _CRON.fullmatch(text) or not croniter.is_valid(text):
        raise InvalidRequestError(
            f"cron {text[:_LONGEST_CRON]!r} can't serve; give five fields, such as '30 2 * * 1' (Mondays at 2:30)"
        )
    if _next_of_cron(text, zone_of(cron.time_zone), datetime.now(UTC)) is None:
        raise InvalidRequestError(f"cron {text!r} never fires; give a day that there is")


def _check_recurrence(recurrence: Recurrence) -> None:
    if not 1 <= recurrence.interval <= MAXIMUM_INTERVAL:
        raise InvalidRequestError(f"interval {recurrence.interval} can't serve; give 1 to {MAXIMUM_INTERVAL}")
    if recurrence.week_days and recurrence.frequency is not Frequency.WEEK:
        raise InvalidRequestError("week days go with the frequency Week alone")
    if (recurrence.hours or recurrence.minutes) and recurrence.frequency not in _DAYS:
        raise InvalidRequestError("hours and minutes go with the frequencies Day and Week alone")
    for name, values, most in (("hour", recurrence.hours, 23), ("minute", recurrence.minutes, 59)):
        for value in values:
            if not 0 <= value <= most:
                raise InvalidRequestError(f"{name} {value} can't serve; give 0 to {most}")
