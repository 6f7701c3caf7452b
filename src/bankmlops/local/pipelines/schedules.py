"""The schedules of a workspace, seen from any process: whoever makes one writes it down, and the control server fires it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from bankmlops.errors import NotFoundError
from bankmlops.local.control.audit import AuditLog
from bankmlops.local.pipelines.endpoints import PipelineEndpoints, pipeline_of
from bankmlops.local.pipelines.schedule_store import ScheduleStore
from bankmlops.local.pipelines.store import PipelineStore
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.pipelines.parameters import assign
from bankmlops.types import NewDatasetVersion, Schedule, ScheduleConfig


class Schedules:
    """The schedules of one workspace; each change is in its audit log."""

    def __init__(self, workspace: LocalWorkspace) -> None:
        self._store = ScheduleStore(workspace)
        self._pipelines = PipelineStore(workspace)
        self._endpoints = PipelineEndpoints(workspace)
        self._audit = AuditLog(workspace)

    def create(self, config: ScheduleConfig) -> Schedule:
        """Make it. Raises as `Backend.schedule_pipeline` does; the parameters are checked against those of the pipeline."""
        pipeline = self._pipelines.get(self._pipeline_id(config)).pipeline
        assign(pipeline, {**config.parameters, **_given_at_each_fire(config)})
        schedule = self._store.create(config, datetime.now(UTC))
        self._audit.record_own("schedule", f"schedule {config.name}", f"pipeline {config.pipeline_id}")
        return schedule

    def get(self, schedule_id: str) -> Schedule:
        """One schedule. Raises `NotFoundError`."""
        return self._store.get(schedule_id)

    def list(self) -> Sequence[Schedule]:
        """Every schedule, by name."""
        return self._store.list()

    def pause(self, schedule_id: str) -> Schedule:
        """Fire no more until it is resumed."""
        schedule = self._store.pause(schedule_id)
        self._audit.record_own("pause", f"schedule {schedule.config.name}")
        return schedule

    def resume(self, schedule_id: str) -> Schedule:
        """Fire again, from now on."""
        schedule = self._store.resume(schedule_id, datetime.now(UTC))
        self._audit.record_own("resume", f"schedule {schedule.config.name}")
        return schedule

    def delete(self, schedule_id: str) -> None:
        """Forget it; the runs that it started stay."""
        schedule = self._store.get(schedule_id)
        self._store.delete(schedule_id)
        self._audit.record_own("delete", f"schedule {schedule.config.name}")

    def _pipeline_id(self, config: ScheduleConfig) -> str:
        try:
            return pipeline_of(self._endpoints.get(config.pipeline_id))
        except NotFoundError:
            return config.pipeline_id


def _given_at_each_fire(config: ScheduleConfig) -> dict[str, str]:
    when = config.when
    return {when.parameter: f"{when.dataset_name}:1"} if isinstance(when, NewDatasetVersion) and when.parameter else {}
