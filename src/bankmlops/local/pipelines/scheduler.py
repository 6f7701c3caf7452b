"""Starts what schedules say, in the control server: each fire is exactly one run, whatever crashes and whenever.

The run's id is made of the schedule's id and what it fires for: the moment that was planned, or the dataset's version. First the
run is started, then the fire is recorded. A crash in between finds the fire due again, and the run there already.

A fire is missed where nobody was there for more than `GRACE` after it. All that were missed are one run, that of the first, or
none, as the schedule says.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from bankmlops.errors import BackendUnavailableError, BankMLOpsError, NotFoundError
from bankmlops.local.pipelines.schedule_store import ScheduleStore, is_over, next_of
from bankmlops.local.pipelines.triggers import Ask, Asker, Triggers, run_id_of
from bankmlops.types import MissedFires, NewDatasetVersion, Schedule, ScheduleStatus

GRACE = timedelta(minutes=1)
_TICK_SECONDS = 1.0
_RETRY_SECONDS = 30.0
_LONGEST_ERROR = 500

logger = logging.getLogger("bankmlops.schedules")


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Fire:
    """What a schedule fires for: `key` makes the run's id, `seen` is the dataset's version."""

    key: str
    planned: datetime
    seen: str | None = None


class Scheduler:
    """Looks at the schedules at each `tick`; `now` is the wall clock, `clock` counts seconds between attempts."""

    def __init__(
        self,
        schedules: ScheduleStore,
        triggers: Triggers,
        now: Callable[[], datetime] = utc_now,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._schedules = schedules
        self._triggers = triggers
        self._now = now
        self._clock = clock
        self._not_before: dict[str, float] = {}

    def run(self, leaving: threading.Event) -> None:
        """Tick until `leaving` is set. Nothing that goes wrong ends it: it is logged, and tried again."""
        while not leaving.wait(_TICK_SECONDS):
            try:
                self.tick()
            except Exception:
                logger.exception("the schedules can't be read; they are tried again")
                leaving.wait(_RETRY_SECONDS)

    def tick(self) -> None:
        """Start what is due."""
        now = self._now()
        for schedule in self._schedules.due(now):
            if schedule.next_fire is not None:
                self._attempt(schedule, _Fire(schedule.next_fire.isoformat(), schedule.next_fire), now)
        for schedule, version, created in self._schedules.unseen():
            self._look_at_data(schedule, version, datetime.fromisoformat(created), now)

    def _look_at_data(self, schedule: Schedule, version: str, created: datetime, now: datetime) -> None:
        start, end = schedule.config.start, schedule.config.end
        if end is not None and created > end:
            self._schedules.record(schedule, replace(schedule, status=ScheduleStatus.COMPLETED))
        elif start is not None and created < start:
            self._schedules.record(schedule, schedule, version)
        else:
            self._attempt(schedule, _Fire(f"version {version}", created, version), now)

    def _attempt(self, schedule: Schedule, fire: _Fire, now: datetime) -> None:
        """Fire, or put it off where the server is too busy; another schedule's fire does not wait for this one."""
        if self._not_before.get(schedule.id, 0.0) > self._clock():
            return
        self._not_before.pop(schedule.id, None)
        try:
            self._fire(schedule, fire, now)
        except BackendUnavailableError as error:
            logger.warning("schedule %s is tried again: %s", schedule.config.name, error)
            self._not_before[schedule.id] = self._clock() + _RETRY_SECONDS
        except Exception as error:
            logger.exception("schedule %s is tried again", schedule.config.name)
            self._not_before[schedule.id] = self._clock() + _RETRY_SECONDS
            told = f"internal error, {type(error).__name__}: {error}; it is tried again, and the control server's log says more"
            self._schedules.record(schedule, replace(schedule, last_error=told[:_LONGEST_ERROR]))

    def _fire(self, schedule: Schedule, fire: _Fire, now: datetime) -> None:
        run_id = run_id_of(schedule.id, fire.key)
        began = self._triggers.find(run_id) is not None
        error = ""
        if not began and schedule.config.missed_fires is MissedFires.SKIP and now - fire.planned > GRACE:
            error = f"missed: nobody was there at {fire.planned.isoformat()}"
        elif not began:
            error = self._start(schedule, fire, run_id)
        then = next_of(schedule, max(now, fire.planned))
        ended = is_over(schedule, then, now)
        fired = replace(
            schedule,
            status=ScheduleStatus.COMPLETED if ended else schedule.status,
            next_fire=then,
            last_fire=fire.planned,
            last_run_id=schedule.last_run_id if error else run_id,
            last_error=error,
        )
        if not self._schedules.record(schedule, fired, fire.seen):
            logger.info("schedule %s was changed while it fired", schedule.config.name)

    def _start(self, schedule: Schedule, fire: _Fire, run_id: str) -> str:
        """Start the run; why it can't be started, for good, otherwise."""
        config = schedule.config
        ask = Ask(config.experiment_name, _parameters(schedule, fire), f"schedule {config.name}", config.tags)
        try:
            pipeline_id = self._pipeline(config.pipeline_id)
            self._triggers.trigger(pipeline_id, ask, Asker(f"schedule {config.name}", "the control server"), run_id)
        except BackendUnavailableError:
            raise
        except BankMLOpsError as error:
            logger.warning("schedule %s started no run: %s", config.name, error)
            return str(error)[:_LONGEST_ERROR]
        return ""

    def _pipeline(self, pipeline_id: str) -> str:
        """A pipeline endpoint stands for its default version at the moment of the fire."""
        try:
            return self._triggers.pipeline_behind(pipeline_id)
        except NotFoundError:
            return pipeline_id


def _parameters(schedule: Schedule, fire: _Fire) -> dict[str, str | int | float | bool]:
    given = dict(schedule.config.parameters)
    when = schedule.config.when
    if isinstance(when, NewDatasetVersion) and when.parameter:
        given[when.parameter] = f"{when.dataset_name}:{fire.seen}"
    return given
