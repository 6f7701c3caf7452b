"""When schedules fire: crontab lines and recurrences, across months and the changes of a clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bankmlops.errors import InvalidRequestError
from bankmlops.local.pipelines.schedule_times import check_when, next_fire
from bankmlops.types import Cron, Frequency, Recurrence, WeekDay

BERLIN = "Europe/Berlin"


def _moments(when: Cron | Recurrence, anchor: str, count: int, after: str = "") -> list[str]:
    """The first moments, on the wall of the schedule's own zone, with the offset of each."""
    zone = ZoneInfo(when.time_zone)
    start = datetime.fromisoformat(anchor).replace(tzinfo=zone).astimezone(UTC)
    moment = datetime.fromisoformat(after).replace(tzinfo=zone).astimezone(UTC) if after else start - timedelta(microseconds=1)
    found = []
    for _ in range(count):
        following = next_fire(when, start, moment)
        assert following is not None
        assert following > moment
        assert following.tzinfo is UTC
        moment = following
        found.append(f"{moment.astimezone(zone):%Y-%m-%dT%H:%M%z}")
    return found


def test_spans() -> None:
    """Minutes and hours are spans of time, counted from the start, through a change of the clock."""
    assert _moments(Recurrence(Frequency.MINUTE, 20), "2026-03-01T12:10", 3) == [
        "2026-03-01T12:10+0000",
        "2026-03-01T12:30+0000",
        "2026-03-01T12:50+0000",
    ]
    assert _moments(Recurrence(Frequency.HOUR, 1, time_zone=BERLIN), "2026-10-25T01:30", 4) == [
        "2026-10-25T01:30+0200",
        "2026-10-25T02:30+0200",
        "2026-10-25T02:30+0100",
        "2026-10-25T03:30+0100",
    ]


def test_days_keep_the_time_on_the_wall() -> None:
    """A daily fire keeps its hour; a skipped hour fires at the end of the skip, a repeated one once."""
    daily = Recurrence(Frequency.DAY, hours=(2,), minutes=(30,), time_zone=BERLIN)
    assert _moments(daily, "2026-03-28T00:00", 3) == ["2026-03-28T02:30+0100", "2026-03-29T03:00+0200", "2026-03-30T02:30+0200"]
    assert _moments(daily, "2026-10-24T00:00", 3) == ["2026-10-24T02:30+0200", "2026-10-25T02:30+0200", "2026-10-26T02:30+0100"]


def test_every_other_week() -> None:
    """Whole weeks are counted from the Monday of the start's week; what lies before the start does not fire."""
    when = Recurrence(Frequency.WEEK, 2, (WeekDay.FRIDAY, WeekDay.MONDAY), (9, 17), (0,))
    assert _moments(when, "2026-03-04T10:00", 5) == [
        "2026-03-06T09:00+0000",
        "2026-03-06T17:00+0000",
        "2026-03-16T09:00+0000",
        "2026-03-16T17:00+0000",
        "2026-03-20T09:00+0000",
    ]
    assert _moments(Recurrence(Frequency.WEEK), "2026-03-04T10:00", 2) == ["2026-03-04T10:00+0000", "2026-03-11T10:00+0000"]


def test_months() -> None:
    """A day that a month lacks is its last day."""
    assert _moments(Recurrence(Frequency.MONTH), "2026-01-31T09:00", 4) == [
        "2026-01-31T09:00+0000",
        "2026-02-28T09:00+0000",
        "2026-03-31T09:00+0000",
        "2026-04-30T09:00+0000",
    ]
    assert _moments(Recurrence(Frequency.MONTH, 5), "2026-11-30T09:00", 2, "2031-01-01T00:00") == [
        "2031-01-30T09:00+0000",
        "2031-06-30T09:00+0000",
    ]


def test_cron() -> None:
    """A crontab line is read in its zone; a skipped time fires when it is skipped, a repeated one once unless its hour is `*`."""
    assert _moments(Cron("30 2 * * 1", BERLIN), "2026-03-01T00:00", 2) == ["2026-03-02T02:30+0100", "2026-03-09T02:30+0100"]
    nightly = Cron("30 2 * * *", BERLIN)
    assert _moments(nightly, "2026-03-28T12:00", 2) == ["2026-03-29T03:00+0200", "2026-03-30T02:30+0200"]
    assert _moments(nightly, "2026-10-24T12:00", 2) == ["2026-10-25T02:30+0200", "2026-10-26T02:30+0100"]
    assert _moments(Cron("0 * * * *", BERLIN), "2026-10-25T01:30", 3) == [
        "2026-10-25T02:00+0200",
        "2026-10-25T02:00+0100",
        "2026-10-25T03:00+0100",
    ]
    assert _moments(Cron("0 0 29 2 *"), "2026-03-01T00:00", 1) == ["2028-02-29T00:00+0000"]


def test_nothing_fires_before_the_start() -> None:
    """A start in the future is the first that can be."""
    after = "2026-03-01T00:00"
    assert _moments(Cron("0 0 * * *"), "2026-05-01T00:00", 1, after) == ["2026-05-01T00:00+0000"]
    for frequency in Frequency:
        assert _moments(Recurrence(frequency, 3), "2026-05-01T00:00", 1, after) == ["2026-05-01T00:00+0000"]


@settings(deadline=None, max_examples=200)
@given(
    frequency=st.sampled_from(list(Frequency)),
    interval=st.integers(1, 60),
    zone=st.sampled_from(["UTC", BERLIN, "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia"]),
    anchor=st.datetimes(datetime.fromisoformat("2005-01-01"), datetime.fromisoformat("2035-01-01")),
    passed=st.timedeltas(timedelta(0), timedelta(days=3000)),
)
def test_any_recurrence_goes_on(frequency: Frequency, interval: int, zone: str, anchor: datetime, passed: timedelta) -> None:
    """Whatever recurs, the next fire is later than now, not before the start, and the same from any moment before it."""
    start, now = anchor.replace(tzinfo=UTC), anchor.replace(tzinfo=UTC) + passed
    when = Recurrence(frequency, interval, time_zone=zone)
    following = next_fire(when, start, now)
    assert following is not None
    assert following > now
    assert following >= start
    assert next_fire(when, start, following - timedelta(microseconds=1)) == following


@pytest.mark.parametrize(
    "when",
    [
        Cron("* * * *"),
        Cron("61 * * * *"),
        Cron("@reboot"),
        Cron("0 0 30 2 *"),
        Cron("* * * * * *"),
        Cron("0 0 * * *", "Mars/Olympus"),
        Cron("0 0 * * *", "../../etc/passwd"),
        Recurrence(Frequency.DAY, 0),
        Recurrence(Frequency.DAY, 1001),
        Recurrence(Frequency.DAY, hours=(24,)),
        Recurrence(Frequency.DAY, minutes=(-1,)),
        Recurrence(Frequency.HOUR, hours=(1,)),
        Recurrence(Frequency.DAY, week_days=(WeekDay.MONDAY,)),
        Recurrence(Frequency.DAY, time_zone=""),
    ],
    ids=str,
)
def test_what_can_not_serve(when: Cron | Recurrence) -> None:
    """What never fires, or is no time, is refused in one line."""
    with pytest.raises(InvalidRequestError) as refusal:
        check_when(when)
    assert "\n" not in str(refusal.value)
