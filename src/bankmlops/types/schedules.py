"""When a published pipeline runs by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from bankmlops.types.defaults import empty_mapping


class Frequency(StrEnum):
    """Azure ML's own words for the unit of a recurrence."""

    MINUTE = "Minute"
    HOUR = "Hour"
    DAY = "Day"
    WEEK = "Week"
    MONTH = "Month"


class WeekDay(StrEnum):
    """The days of the week, Monday first."""

    MONDAY = "Monday"
    TUESDAY = "Tuesday"
    WEDNESDAY = "Wednesday"
    THURSDAY = "Thursday"
    FRIDAY = "Friday"
    SATURDAY = "Saturday"
    SUNDAY = "Sunday"


@dataclass(frozen=True, slots=True)
class Cron:
    """The five fields of a crontab's line, in an IANA time zone."""

    expression: str
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Recurrence:
    """Every `interval` minutes, hours, days, weeks or months from the schedule's start on, in an IANA time zone.

    `week_days` go with weeks, `hours` and `minutes` with days and weeks: on these days, at these hours and minutes.
    """

    frequency: Frequency
    interval: int = 1
    week_days: tuple[WeekDay, ...] = ()
    hours: tuple[int, ...] = ()
    minutes: tuple[int, ...] = ()
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class NewDatasetVersion:
    """Each new version of a dataset, which the pipeline's `parameter`, where one is named, is given as NAME:VERSION."""

    dataset_name: str
    parameter: str = ""


class MissedFires(StrEnum):
    """What becomes of fires that nobody was there for: one run for all of them, or none."""

    RUN_ONCE = "run-once"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class ScheduleConfig:
    """When a published pipeline, or what stands behind a pipeline endpoint, is run, and with what.

    `pipeline_id` is the id of either. A start and an end have a time zone; none of them is no bound, and a recurrence without a
    start counts from the moment at which the schedule is made. An empty experiment is the pipeline's own.
    """

    name: str
    pipeline_id: str
    when: Cron | Recurrence | NewDatasetVersion
    experiment_name: str = ""
    start: datetime | None = None
    end: datetime | None = None
    missed_fires: MissedFires = MissedFires.RUN_ONCE
    parameters: Mapping[str, str | int | float | bool] = field(default_factory=empty_mapping)
    tags: Mapping[str, str] = field(default_factory=empty_mapping)
    description: str = ""


class ScheduleStatus(StrEnum):
    """`COMPLETED` is past its end."""

    ACTIVE = "Active"
    PAUSED = "Paused"
    COMPLETED = "Completed"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule, and how it stands. `last_error` says why its last fire started no run; empty where it did."""

    id: str
    config: ScheduleConfig
    status: ScheduleStatus
    created: datetime | None = None
    next_fire: datetime | None = None
    last_fire: datetime | None = None
    last_run_id: str = ""
    last_error: str = ""
