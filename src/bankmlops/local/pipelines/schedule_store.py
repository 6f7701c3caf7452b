"""The schedules of a workspace, durable: what was asked for, when it fires next, and what came of its last fire."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from bankmlops.errors import ConflictError, InvalidRequestError, NotFoundError
from bankmlops.local.json_columns import from_text, time_of, to_text
from bankmlops.local.names import check_name
from bankmlops.local.pipelines.schedule_times import check_when, next_fire
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import NewDatasetVersion, Schedule, ScheduleConfig, ScheduleStatus

_MAXIMUM_SCHEDULES = 1000


class ScheduleStore:
    """Reads and writes the table `schedules`; any process may, and each is told what moment it is."""

    def __init__(self, workspace: LocalWorkspace) -> None:
        self._workspace = workspace

    def create(self, config: ScheduleConfig, now: datetime) -> Schedule:
        """Make it, active. Raises `InvalidRequestError` for what can't serve, and `ConflictError` where the name is taken."""
        _check(config, now)
        schedule = _first(config, now)
        try:
            with self._workspace.database() as database:
                if database.execute("SELECT count(*) FROM schedules").fetchone()[0] >= _MAXIMUM_SCHEDULES:
                    raise ConflictError(f"there are {_MAXIMUM_SCHEDULES} schedules already; delete one")
                database.execute(
                    "INSERT INTO schedules (id, name, config, status, created, next_fire, seen) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        schedule.id,
                        config.name,
                        to_text(config),
                        schedule.status.value,
                        now.isoformat(),
                        _text(schedule.next_fire),
                        _newest(database, config),
                    ),
                )
        except sqlite3.IntegrityError:
            raise ConflictError(f"there is a schedule {config.name!r} already; delete it, or choose another name") from None
        return schedule

    def get(self, schedule_id: str) -> Schedule:
        """One schedule, by its id. Raises `NotFoundError`."""
        with self._workspace.database() as database:
            row = database.execute("SELECT * FROM schedules WHERE id = ?", (schedule_id,)).fetchone()
        if row is None:
            raise NotFoundError(f"no schedule has the id {schedule_id!r}; `bankmlops schedules list` shows all")
        return _schedule(row)

    def list(self) -> Sequence[Schedule]:
        """Every schedule, by name."""
        with self._workspace.database() as database:
            rows = database.execute("SELECT * FROM schedules ORDER BY name").fetchall()
        return [_schedule(row) for row in rows]

    def due(self, now: datetime) -> Sequence[Schedule]:
        """The active schedules whose next fire is not later than now."""
        with self._workspace.database() as database:
            rows = database.execute("SELECT * FROM schedules WHERE status = 'Active' AND next_fire IS NOT NULL").fetchall()
        return [each for row in rows if (each := _schedule(row)).next_fire is not None and each.next_fire <= now]

    def unseen(self) -> Sequence[tuple[Schedule, str, str]]:
        """The active schedules whose dataset has a version that they have not seen; with that version, and when it was made."""
        with self._workspace.database() as database:
            rows = database.execute("SELECT * FROM schedules WHERE status = 'Active' AND next_fire IS NULL").fetchall()
            newest = [(row, _newest_row(database, _schedule(row).config)) for row in rows]
        return [(_schedule(row), new["version"], new["created"]) for row, new in newest if new and new["version"] != row["seen"]]

    def record(self, before: Schedule, after: Schedule, seen: str | None = None) -> bool:
        """Put `after` in the place of `before`; False, and nothing changed, where the schedule is not as before any more."""
        state = (after.status.value, _text(after.next_fire), _text(after.last_fire), after.last_run_id, after.last_error, seen)
        with self._workspace.database() as database:
            changed = database.execute(
                "UPDATE schedules SET status = ?, next_fire = ?, last_fire = ?, last_run_id = ?, last_error = ?,"
                " seen = coalesce(?, seen) WHERE id = ? AND status = ? AND next_fire IS ?",
                (*state, before.id, before.status.value, _text(before.next_fire)),
            ).rowcount
        return changed == 1

    def pause(self, schedule_id: str) -> Schedule:
        """Fire no more (idempotent). Raises `NotFoundError`, and `ConflictError` where it is past its end."""
        self._refuse_completed(self.get(schedule_id))
        with self._workspace.database() as database:
            database.execute("UPDATE schedules SET status = 'Paused', next_fire = NULL WHERE id = ?", (schedule_id,))
        return self.get(schedule_id)

    def resume(self, schedule_id: str, now: datetime) -> Schedule:
        """Fire again, from now on (idempotent): what fell into the pause is not made up for. Raises as `pause` does."""
        found = self.get(schedule_id)
        self._refuse_completed(found)
        if found.status is ScheduleStatus.ACTIVE:
            return found
        then = next_of(found, now)
        status = ScheduleStatus.COMPLETED if is_over(found, then, now) else ScheduleStatus.ACTIVE
        with self._workspace.database() as database:
            database.execute(
                "UPDATE schedules SET status = ?, next_fire = ?, seen = ? WHERE id = ? AND status = 'Paused'",
                (status.value, _text(then), _newest(database, found.config), schedule_id),
            )
        return self.get(schedule_id)

    def delete(self, schedule_id: str) -> None:
        """Forget it; the runs that it started stay. Raises `NotFoundError`."""
        self.get(schedule_id)
        with self._workspace.database() as database:
            database.execute("DELETE FROM schedules WHERE id = ?", (schedule_id,))

    @staticmethod
    def _refuse_completed(schedule: Schedule) -> None:
        if schedule.status is ScheduleStatus.COMPLETED:
            raise ConflictError(f"schedule {schedule.config.name!r} is past its end; make another")


def next_of(schedule: Schedule, after: datetime) -> datetime | None:
    """When it fires next; None where it waits for data, or fires no more."""
    config = schedule.config
    if isinstance(config.when, NewDatasetVersion):
        return None
    moment = next_fire(config.when, config.start or schedule.created or after, after)
    return moment if moment is not None and (config.end is None or moment <= config.end) else None


def is_over(schedule: Schedule, then: datetime | None, now: datetime) -> bool:
    """Whether it never fires again, `then` being its next fire."""
    if isinstance(schedule.config.when, NewDatasetVersion):
        return schedule.config.end is not None and schedule.config.end <= now
    return then is None


def _first(config: ScheduleConfig, now: datetime) -> Schedule:
    schedule = Schedule(str(uuid.uuid4()), config, ScheduleStatus.ACTIVE, now)
    then = next_of(schedule, now)
    if is_over(schedule, then, now):
        raise InvalidRequestError(f"schedule {config.name!r} would never fire; give a later end")
    return Schedule(schedule.id, config, ScheduleStatus.ACTIVE, now, then)


def _check(config: ScheduleConfig, now: datetime) -> None:
    check_name("schedule name", config.name)
    if isinstance(config.when, NewDatasetVersion):
        check_name("dataset name", config.when.dataset_name)
    else:
        check_when(config.when)
    for name, moment in (("start", config.start), ("end", config.end)):
        if moment is not None and moment.tzinfo is None:
            raise InvalidRequestError(
                f"{name} {moment.isoformat()} has no time zone; give one, such as {now:%Y-%m-%dT%H:%M}+00:00"
            )
        if moment is not None and abs(moment - now) > timedelta(days=365 * 100):
            raise InvalidRequestError(f"{name} {moment.isoformat()} is more than 100 years away")


def _newest(database: sqlite3.Connection, config: ScheduleConfig) -> str:
    row = _newest_row(database, config)
    return row["version"] if row else ""


def _newest_row(database: sqlite3.Connection, config: ScheduleConfig) -> sqlite3.Row | None:
    if not isinstance(config.when, NewDatasetVersion):
        return None
    found: sqlite3.Row | None = database.execute(
        "SELECT version, created FROM datasets WHERE name = ? ORDER BY number DESC LIMIT 1", (config.when.dataset_name,)
    ).fetchone()
    return found


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _schedule(row: sqlite3.Row) -> Schedule:
    return Schedule(
        id=row["id"],
        config=from_text(ScheduleConfig, row["config"]),
        status=ScheduleStatus(row["status"]),
        created=time_of(row["created"]),
        next_fire=time_of(row["next_fire"]),
        last_fire=time_of(row["last_fire"]),
        last_run_id=row["last_run_id"],
        last_error=row["last_error"],
    )
