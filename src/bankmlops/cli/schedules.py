"""`bankmlops schedules`: run a published pipeline by the clock, or when new data is registered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from bankmlops.backend import Backend
from bankmlops.cli.command import command, group
from bankmlops.cli.drawing import draw_table
from bankmlops.cli.pipeline_files import assignment
from bankmlops.cli.references import pipeline_endpoint, published_pipeline, schedule_named
from bankmlops.cli.session import Session
from bankmlops.errors import InvalidRequestError
from bankmlops.types import (
    Cron,
    Frequency,
    MissedFires,
    NewDatasetVersion,
    Recurrence,
    Schedule,
    ScheduleConfig,
    WeekDay,
)

if TYPE_CHECKING:
    from bankmlops.cli.tables import Column

application = group("schedules", "Run a published pipeline by the clock, or on new data.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name, or its id.")]


@dataclass(frozen=True, slots=True)
class When:
    """When it fires: one of `--cron`, `--every` and `--on-new-data`."""

    cron: Annotated[str, typer.Option("--cron", metavar="LINE", help="Five fields, such as '30 2 * * 1'.")] = ""
    every: Annotated[str, typer.Option("--every", metavar="N-UNIT", help="Such as 15-minute, 1-day or 2-week.")] = ""
    on: Annotated[list[WeekDay] | None, typer.Option("--on", help="With weeks: on this day; may be repeated.")] = None
    at: Annotated[str, typer.Option("--at", metavar="HH:MM", help="With days and weeks: at this time.")] = ""
    on_new_data: Annotated[str, typer.Option("--on-new-data", metavar="DATASET", help="On each new version of it.")] = ""
    data_parameter: Annotated[
        str, typer.Option("--data-parameter", metavar="NAME", help="The pipeline's parameter that is given the new version.")
    ] = ""
    time_zone: Annotated[str, typer.Option("--time-zone", metavar="ZONE", help="An IANA name, such as Europe/Berlin.")] = "UTC"
    start: Annotated[str, typer.Option("--start", metavar="TIME", help="Not before, such as 2027-01-31T09:00.")] = ""
    end: Annotated[str, typer.Option("--end", metavar="TIME", help="Not after.")] = ""

    @property
    def trigger(self) -> Cron | Recurrence | NewDatasetVersion:
        """The one that was given. Raises `InvalidRequestError`."""
        if sum(map(bool, (self.cron, self.every, self.on_new_data))) != 1:
            raise InvalidRequestError("say when: one of --cron LINE, --every N-UNIT and --on-new-data DATASET")
        if self.cron:
            return Cron(self.cron, self.time_zone)
        return self._recurrence() if self.every else NewDatasetVersion(self.on_new_data, self.data_parameter)

    def moment(self, text: str) -> datetime | None:
        """A time as it was given; without an offset it is of the time zone. Raises `InvalidRequestError`."""
        if not text:
            return None
        try:
            moment = datetime.fromisoformat(text)
            return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(self.time_zone))
        except (ValueError, ZoneInfoNotFoundError):
            raise InvalidRequestError(f"{text!r} in {self.time_zone} is no time; write it as 2027-01-31T09:00") from None

    def _recurrence(self) -> Recurrence:
        number, _, unit = self.every.partition("-")
        units = {str(each).lower(): each for each in Frequency}
        if not number.isdecimal() or unit.removesuffix("s").lower() not in units:
            raise InvalidRequestError(
                f"--every {self.every!r} can't serve; give a number and a unit, such as 15-minute or 2-week"
            )
        hours, minutes = self._time()
        return Recurrence(
            units[unit.removesuffix("s").lower()], int(number[:9]), tuple(self.on or ()), hours, minutes, self.time_zone
        )

    def _time(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        hour, _, minute = self.at.partition(":")
        if not self.at:
            return (), ()
        if not hour.isdecimal() or not minute.isdecimal():
            raise InvalidRequestError(f"--at {self.at!r} is no time of day; write it as 02:30")
        return (int(hour[:9]),), (int(minute[:9]),)


@dataclass(frozen=True, slots=True)
class Target:
    """What is run: a published pipeline, or what a pipeline endpoint stands for."""

    pipeline: Annotated[str, typer.Option("--pipeline", metavar="NAME", help="The published pipeline's name, or its id.")] = ""
    version: Annotated[str | None, typer.Option("--version", help="Its version: the newest that is active.")] = None
    endpoint: Annotated[str, typer.Option("--endpoint", metavar="NAME", help="Or: what a pipeline endpoint stands for.")] = ""

    def find(self, backend: Backend) -> str:
        """Its id. Raises `InvalidRequestError` where not one of both was named, and `NotFoundError`."""
        if bool(self.pipeline) == bool(self.endpoint):
            raise InvalidRequestError("say what is run: either --pipeline NAME or --endpoint NAME")
        if self.pipeline:
            return published_pipeline(backend, self.pipeline, self.version).id
        return pipeline_endpoint(backend, self.endpoint).id


@command(
    application,
    "create",
    "bankmlops schedules create nightly --pipeline bank-training --cron '30 2 * * *' --time-zone Europe/Berlin",
    "bankmlops schedules create weekly --pipeline bank-training --every 1-week --on Monday --at 06:00",
    "bankmlops schedules create on-data --endpoint retraining --on-new-data bank --data-parameter dataset",
)
def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.")],
    when: When,
    target: Target,
    experiment: Annotated[
        str, typer.Option("--experiment", help="The experiment of its runs: the pipeline's own, if left out; Azure needs one.")
    ] = "",
    parameters: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter; may be repeated.")
    ] = None,
    missed: Annotated[
        MissedFires, typer.Option("--missed", help="What becomes of fires while no server ran: one run for all, or none.")
    ] = MissedFires.RUN_ONCE,
) -> None:
    """Have a published pipeline run by itself, while the control server is up."""
    config = ScheduleConfig(
        name=name,
        pipeline_id=target.find(session.backend),
        when=when.trigger,
        experiment_name=experiment,
        start=when.moment(when.start),
        end=when.moment(when.end),
        missed_fires=missed,
        parameters=dict(assignment(word) for word in parameters or ()),
    )
    session.show(session.backend.schedule_pipeline(config), _draw)


@command(application, "list", "bankmlops schedules list")
def list_schedules(session: Session) -> None:
    """List every schedule, by name, with its next fire."""
    session.show(session.backend.list_schedules(), _draw_all)


@command(application, "show", "bankmlops schedules show nightly")
def show(session: Session, name: Name) -> None:
    """Show a schedule: when it fires, and what came of its last fire."""
    session.show(schedule_named(session.backend, name), _draw)


@command(application, "pause", "bankmlops schedules pause nightly")
def pause(session: Session, name: Name) -> None:
    """Fire no more, until it is resumed."""
    session.show(session.backend.pause_schedule(schedule_named(session.backend, name).id), _draw)


@command(application, "resume", "bankmlops schedules resume nightly")
def resume(session: Session, name: Name) -> None:
    """Fire again, from now on: what fell into the pause is not made up for."""
    session.show(session.backend.resume_schedule(schedule_named(session.backend, name).id), _draw)


@command(application, "delete", "bankmlops schedules delete nightly")
def delete(session: Session, name: Name) -> None:
    """Forget a schedule; the runs that it started stay."""
    found = schedule_named(session.backend, name)
    session.backend.delete_schedule(found.id)
    session.show({"deleted": found.config.name}, lambda done: f"schedule {done['deleted']} is deleted")


def _draw(schedule: Schedule) -> Any:
    from bankmlops.cli.tables import pairs

    config = schedule.config
    named: dict[str, object] = {
        "name": config.name,
        "id": schedule.id,
        "status": schedule.status,
        "pipeline": config.pipeline_id,
        "when": _when(config),
        "start": config.start,
        "end": config.end,
        "missed fires": config.missed_fires,
        "experiment": config.experiment_name,
        "next fire": schedule.next_fire,
        "last fire": schedule.last_fire,
        "last run": schedule.last_run_id,
        "last error": schedule.last_error,
        "parameters": config.parameters,
    }
    return pairs({name: value for name, value in named.items() if value})


def _draw_all(schedules: Sequence[Schedule]) -> Any:
    columns: Sequence[Column] = (
        ("name", lambda each: each.config.name),
        ("status", lambda each: each.status),
        ("when", lambda each: _when(each.config)),
        ("next fire", lambda each: each.next_fire),
        ("last fire", lambda each: each.last_fire),
        ("last run", lambda each: each.last_run_id),
        ("last error", lambda each: each.last_error),
    )
    return draw_table(schedules, columns, "schedules")


def _when(config: ScheduleConfig) -> str:
    when = config.when
    if isinstance(when, Cron):
        return f"{when.expression} in {when.time_zone}"
    if isinstance(when, NewDatasetVersion):
        return f"each new version of {when.dataset_name}"
    days = " on " + ", ".join(when.week_days) if when.week_days else ""
    times = " at " + ", ".join(f"{hour:02}:{minute:02}" for hour in when.hours for minute in when.minutes) if when.hours else ""
    return f"every {when.interval} {str(when.frequency).lower()}{days}{times} in {when.time_zone}"
