"""Schedules on Azure ML: recurrences in UTC, through the SDK's `Schedule`, which can be paused and never deleted.

What Azure's first SDK has no word for (crontab lines, other time zones, an end, versions of a dataset, a rule for missed fires)
is refused, not passed over. It tells neither the next fire nor the experiment of the runs, so both stay empty here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bankmlops.azure.errors import translated
from bankmlops.azure.names import check_name
from bankmlops.azure.pipeline_endpoints import PipelineEndpoints
from bankmlops.azure.pipelines import Pipelines
from bankmlops.azure.workspace import AzureWorkspace
from bankmlops.errors import ConflictError, InvalidRequestError, NotFoundError
from bankmlops.types import Frequency, MissedFires, Recurrence, Schedule, ScheduleConfig, ScheduleStatus, WeekDay

_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_DAILY = (Frequency.DAY, Frequency.WEEK)


class Schedules:
    """The workspace's schedules."""

    def __init__(self, workspace: AzureWorkspace, pipelines: Pipelines, endpoints: PipelineEndpoints) -> None:
        self._workspace = workspace
        self._pipelines = pipelines
        self._endpoints = endpoints

    def create(self, config: ScheduleConfig) -> Schedule:
        """Make it, active. Without a start Azure fires it at once."""
        from azureml.pipeline.core import Schedule as SdkSchedule

        check_name("schedule name", config.name)
        recurrence = _sdk_recurrence(config)
        if any(found.name == config.name for found in self._all()):
            raise ConflictError(f"there is a schedule {config.name!r} already; choose another name")
        target, create = self._target(config.pipeline_id)
        words: dict[str, Any] = {
            **target,
            "experiment_name": config.experiment_name,
            "recurrence": recurrence,
            "description": config.description,
            "pipeline_parameters": dict(config.parameters) or None,
        }
        return _schedule(getattr(SdkSchedule, create)(self._workspace.sdk, config.name, **words))

    def get(self, schedule_id: str) -> Schedule:
        return _schedule(self._find(schedule_id))

    def list(self) -> Sequence[Schedule]:
        """Every recurrence, by name; a paused one too. Schedules that watch a datastore are not shown."""
        found = [each for each in self._all() if each.recurrence is not None]
        return [_schedule(each) for each in sorted(found, key=lambda each: str(each.name))]

    def pause(self, schedule_id: str) -> Schedule:
        """Disable it (idempotent)."""
        self._find(schedule_id).disable()
        return self.get(schedule_id)

    def resume(self, schedule_id: str) -> Schedule:
        """Enable it (idempotent)."""
        self._find(schedule_id).enable()
        return self.get(schedule_id)

    def delete(self, schedule_id: str) -> None:
        """Refused: Azure keeps each schedule."""
        found = self._find(schedule_id)
        raise InvalidRequestError(f"Azure deletes no schedule; pause {found.name!r} instead")

    def _target(self, pipeline_id: str) -> tuple[Mapping[str, str], str]:
        """What the SDK calls a published pipeline or a pipeline endpoint, and the function that schedules it."""
        try:
            self._pipelines.get(pipeline_id)
        except NotFoundError:
            self._endpoints.get(pipeline_id)
            return {"pipeline_endpoint_id": pipeline_id}, "create_for_pipeline_endpoint"
        return {"pipeline_id": pipeline_id}, "create"

    def _all(self) -> Sequence[Any]:
        from azureml.pipeline.core import Schedule as SdkSchedule

        return list(SdkSchedule.list(self._workspace.sdk, active_only=False))

    def _find(self, schedule_id: str) -> Any:
        from azureml.pipeline.core import Schedule as SdkSchedule

        if not _ID.fullmatch(schedule_id):
            raise NotFoundError(f"no schedule has the id {schedule_id!r}: an id has letters, digits and dashes")
        with translated(f"schedule {schedule_id}"):
            return SdkSchedule.get(self._workspace.sdk, schedule_id)


def _sdk_recurrence(config: ScheduleConfig) -> Any:
    from azureml.pipeline.core import ScheduleRecurrence

    when = _checked(config)
    start = config.start.astimezone(UTC).replace(tzinfo=None) if config.start else None
    days = [str(day) for day in when.week_days] or None
    recurrence = ScheduleRecurrence(
        str(when.frequency),
        when.interval,
        start,
        hours=list(when.hours) or None,
        minutes=list(when.minutes) or None,
        week_days=days,
    )
    try:
        recurrence.validate()
    except ValueError as error:
        raise InvalidRequestError(f"Azure refuses the recurrence: {error}") from error
    return recurrence


def _checked(config: ScheduleConfig) -> Recurrence:
    """The recurrence, where Azure can say all that was asked for."""
    if not isinstance(config.when, Recurrence):
        raise InvalidRequestError("Azure's schedules know neither crontab lines nor versions of a dataset; give a recurrence")
    if config.when.time_zone != "UTC":
        raise InvalidRequestError(
            f"time zone {config.when.time_zone!r} is not used on Azure, whose names differ; give hours in UTC"
        )
    if config.end is not None or config.missed_fires is not MissedFires.RUN_ONCE or config.tags:
        raise InvalidRequestError("Azure's schedules have no end, no rule for missed fires and no tags; leave them out")
    if not config.experiment_name:
        raise InvalidRequestError("Azure's schedules name the experiment of their runs; give one (--experiment NAME)")
    if config.start is not None and config.start.tzinfo is None:
        raise InvalidRequestError(f"start {config.start.isoformat()} has no time zone; give one, such as +00:00")
    return config.when


def _schedule(found: Any) -> Schedule:
    active = str(found.status) == "Active"
    return Schedule(
        id=str(found.id),
        config=ScheduleConfig(
            name=str(found.name),
            pipeline_id=str(found.pipeline_id or found.pipeline_endpoint_id or ""),
            when=_recurrence(found.recurrence),
            start=_start(found.recurrence),
            description=str(found.description or ""),
        ),
        status=ScheduleStatus.ACTIVE if active else ScheduleStatus.PAUSED,
    )


def _recurrence(found: Any) -> Recurrence:
    return Recurrence(
        Frequency(str(found.frequency)),
        int(found.interval),
        tuple(WeekDay(str(day)) for day in found.week_days or ()),
        tuple(int(hour) for hour in found.hours or ()),
        tuple(int(minute) for minute in found.minutes or ()),
    )


def _start(found: Any) -> datetime | None:
    text = str(found.start_time or "")
    return datetime.fromisoformat(text.rstrip("Z")).replace(tzinfo=UTC) if text else None
