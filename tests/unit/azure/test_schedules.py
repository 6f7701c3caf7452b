"""What Azure's schedules can't say is refused in one line, before anything is asked of the cloud."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bankmlops.azure.schedules import _checked, _sdk_recurrence
from bankmlops.errors import InvalidRequestError
from bankmlops.types import Cron, Frequency, MissedFires, NewDatasetVersion, Recurrence, ScheduleConfig, WeekDay

WEEKLY = Recurrence(Frequency.WEEK, 2, (WeekDay.MONDAY,), (3,), (30,))
CONFIG = ScheduleConfig("nightly", "1", WEEKLY, "scheduled", datetime(2027, 1, 31, 9, tzinfo=UTC))


def test_what_the_sdk_is_given() -> None:
    """A recurrence reaches the SDK whole, with its start in UTC and without an offset, as the SDK wants it."""
    found = _sdk_recurrence(CONFIG)
    assert (found.frequency, found.interval, found.start_time) == ("Week", 2, "2027-01-31T09:00:00")
    assert (found.week_days, found.hours, found.minutes) == (["Monday"], [3], [30])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"when": Cron("0 0 * * *")}, "crontab"),
        ({"when": NewDatasetVersion("bank")}, "dataset"),
        ({"when": replace(WEEKLY, time_zone="Europe/Berlin")}, "Europe/Berlin"),
        ({"end": datetime(2028, 1, 1, tzinfo=UTC)}, "end"),
        ({"missed_fires": MissedFires.SKIP}, "missed"),
        ({"tags": {"a": "b"}}, "tags"),
        ({"experiment_name": ""}, "experiment"),
        ({"start": datetime.fromisoformat("2027-01-31")}, "time zone"),
    ],
    ids=str,
)
def test_what_azure_has_no_word_for(change: dict[str, Any], named: str) -> None:
    """What would be lost on the way is refused by its name."""
    with pytest.raises(InvalidRequestError, match=named) as refusal:
        _checked(replace(CONFIG, **change))
    assert "\n" not in str(refusal.value)
