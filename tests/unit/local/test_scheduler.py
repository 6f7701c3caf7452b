"""Schedules: durable, fired exactly once whatever crashes, with missed fires made up for by their rule. No test waits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bankmlops.errors import BackendUnavailableError, ConflictError, InvalidRequestError, NotFoundError
from bankmlops.local.control.audit import AuditLog
from bankmlops.local.pipelines.endpoints import PipelineEndpoints
from bankmlops.local.pipelines.requests import RunRequest
from bankmlops.local.pipelines.schedule_store import ScheduleStore
from bankmlops.local.pipelines.scheduler import Scheduler
from bankmlops.local.pipelines.schedules import Schedules
from bankmlops.local.pipelines.store import PipelineStore
from bankmlops.local.pipelines.triggers import Triggers
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.pipelines import Parameter, Pipeline, Step
from bankmlops.types import (
    Cron,
    Frequency,
    MissedFires,
    NewDatasetVersion,
    PipelineRun,
    Recurrence,
    RunStatus,
    Schedule,
    ScheduleConfig,
    ScheduleStatus,
)

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOURLY = Recurrence(Frequency.HOUR)
PIPELINE = Pipeline(
    "retrain",
    (Step("prepare", "prepare", {"dataset": "${{ parameters.dataset }}"}),),
    (Parameter("dataset", default="bank:1"),),
    experiment_name="retraining",
)


class Engine:
    """The engine's memory of what was started; with `busy` it refuses, as one with a full queue."""

    def __init__(self) -> None:
        self.started: dict[str, RunRequest] = {}
        self.busy = False
        self.broken = False

    def start(self, run_id: str, request: RunRequest) -> PipelineRun:
        if self.busy:
            raise BackendUnavailableError("200 pipeline runs wait already")
        if self.broken:
            raise TypeError("not as it was written")
        assert run_id not in self.started
        self.started[run_id] = request
        return self.read(run_id)

    def read(self, run_id: str) -> PipelineRun:
        if run_id not in self.started:
            raise NotFoundError(run_id)
        request = self.started[run_id]
        return PipelineRun(run_id, request.experiment, RunStatus.NOT_STARTED, pipeline_id=request.pipeline_id)


class World:
    """A workspace with a published pipeline, a clock that goes when it is told to, and a scheduler that can be started anew."""

    def __init__(self, folder: Path) -> None:
        self.now = START
        self.seconds = 0.0
        self.workspace = LocalWorkspace(folder)
        self.engine = Engine()
        self.store = ScheduleStore(self.workspace)
        self.pipelines = PipelineStore(self.workspace)
        self.pipeline = self.pipelines.publish(PIPELINE, "1", "").id
        self.restart()

    def restart(self) -> None:
        endpoints, audit = PipelineEndpoints(self.workspace), AuditLog(self.workspace)
        triggers = Triggers(self.pipelines, endpoints, self.engine, audit)  # type: ignore[arg-type]
        self.scheduler = Scheduler(ScheduleStore(self.workspace), triggers, lambda: self.now, lambda: self.seconds)

    def create(self, when: Any = HOURLY, **fields: Any) -> Schedule:
        return self.store.create(ScheduleConfig("nightly", fields.pop("pipeline_id", self.pipeline), when, **fields), self.now)

    def pass_time(self, **span: float) -> None:
        self.now += timedelta(**span)
        self.seconds += timedelta(**span).total_seconds()
        self.scheduler.tick()

    def add_dataset_version(self, version: str, name: str = "bank") -> None:
        with self.workspace.database() as database:
            database.execute(
                "INSERT INTO datasets (name, version, rows, columns, label_column, sha256, synthetic, created)"
                " VALUES (?, ?, 1, '[]', 'y', '', 0, ?)",
                (name, version, self.now.isoformat()),
            )

    def runs(self) -> int:
        return len(self.engine.started)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "workspace")


def test_a_fire_is_a_run(world: World) -> None:
    """A schedule starts a run at each of its moments, says so, and shows the next."""
    made = world.create(experiment_name="nightly", tags={"why": "clock"}, parameters={"dataset": "bank:2"})
    assert (made.next_fire, made.last_fire) == (START + timedelta(hours=1), None)
    for _ in range(3):
        world.pass_time(minutes=30)
    assert world.runs() == 1
    world.pass_time(minutes=30)
    now = world.store.get(made.id)
    assert world.runs() == 2
    assert (now.last_fire, now.next_fire) == (START + timedelta(hours=2), START + timedelta(hours=3))
    request = world.engine.started[now.last_run_id]
    assert (request.experiment, request.run_source, request.pipeline_id) == ("nightly", "schedule nightly", world.pipeline)
    assert (request.parameters, request.tags) == ({"dataset": "bank:2"}, {"why": "clock"})


def test_it_outlives_its_server(world: World) -> None:
    """What is scheduled is fired by whatever server comes next, and what fired does not fire again."""
    made = world.create()
    world.restart()
    world.pass_time(hours=1)
    world.restart()
    world.scheduler.tick()
    assert (world.runs(), world.store.get(made.id).last_fire) == (1, START + timedelta(hours=1))


@pytest.mark.parametrize("hours", [0.0, 1.0, 5.0])
@pytest.mark.parametrize("rule", list(MissedFires))
def test_a_crash_between_run_and_record(world: World, monkeypatch: pytest.MonkeyPatch, hours: float, rule: MissedFires) -> None:
    """A server that dies after it started the run, and before it wrote that down, leaves one run for that fire, however late."""
    made = world.create(missed_fires=rule)

    def die(*_words: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ScheduleStore, "record", die)
        with pytest.raises(KeyboardInterrupt):
            world.pass_time(hours=1)
    assert world.runs() == 1
    world.restart()
    world.pass_time(hours=hours)
    after = world.store.get(made.id)
    assert world.runs() == 1
    assert (after.last_run_id, after.last_fire) == (next(iter(world.engine.started)), START + timedelta(hours=1))
    assert after.next_fire is not None
    assert after.next_fire > world.now


def test_missed_fires_are_one_run(world: World) -> None:
    """Fires that nobody was there for are one run, that of the first."""
    made = world.create()
    world.pass_time(hours=30, minutes=5)
    world.scheduler.tick()
    after = world.store.get(made.id)
    assert world.runs() == 1
    assert (after.last_fire, after.next_fire) == (START + timedelta(hours=1), START + timedelta(hours=31))


def test_missed_fires_are_skipped(world: World) -> None:
    """With the other rule they are none, which is told; one that comes a little late is no missed one."""
    made = world.create(missed_fires=MissedFires.SKIP)
    world.pass_time(hours=30, minutes=5)
    after = world.store.get(made.id)
    assert (world.runs(), after.next_fire) == (0, START + timedelta(hours=31))
    assert after.last_error.startswith("missed")
    world.pass_time(minutes=55, seconds=59)
    after = world.store.get(made.id)
    assert (world.runs(), after.last_error) == (1, "")


def test_a_clock_that_goes_back(world: World) -> None:
    """A clock that is set back fires nothing twice."""
    world.create()
    world.pass_time(hours=2)
    for _ in range(4):
        world.now -= timedelta(minutes=30)
        world.scheduler.tick()
    assert world.runs() == 1


def test_start_and_end(world: World) -> None:
    """Nothing fires before the start, at which the first fire is, nor after the end, with which the schedule is over."""
    made = world.create(start=START + timedelta(days=1), end=START + timedelta(days=1, hours=1))
    assert made.next_fire == START + timedelta(days=1)
    world.pass_time(hours=23)
    assert world.runs() == 0
    world.pass_time(hours=1)
    world.pass_time(hours=1)
    after = world.store.get(made.id)
    assert (world.runs(), after.status, after.next_fire) == (2, ScheduleStatus.COMPLETED, None)
    world.pass_time(hours=9)
    assert world.runs() == 2
    for change in (world.store.pause, lambda schedule_id: world.store.resume(schedule_id, world.now)):
        with pytest.raises(ConflictError, match="past its end"):
            change(made.id)


def test_pause_and_resume(world: World) -> None:
    """A paused schedule fires nothing, shows no next fire, and makes up for nothing when it goes on."""
    made = world.create()
    assert world.store.pause(made.id) == world.store.pause(made.id)
    assert world.store.get(made.id).next_fire is None
    world.pass_time(hours=5, minutes=30)
    assert world.runs() == 0
    resumed = world.store.resume(made.id, world.now)
    assert resumed == world.store.resume(made.id, world.now)
    assert (resumed.status, resumed.next_fire) == (ScheduleStatus.ACTIVE, START + timedelta(hours=6))
    world.pass_time(minutes=30)
    assert world.runs() == 1


def test_a_pause_while_it_fires(world: World) -> None:
    """A schedule that is paused while it fires stays paused."""
    made = world.create()
    start = world.engine.start

    def pause_and_start(run_id: str, request: RunRequest) -> PipelineRun:
        world.store.pause(made.id)
        return start(run_id, request)

    world.engine.start = pause_and_start  # type: ignore[method-assign]
    world.pass_time(hours=1)
    assert (world.runs(), world.store.get(made.id).status) == (1, ScheduleStatus.PAUSED)


def test_a_busy_engine(world: World) -> None:
    """A fire that the engine has no room for is tried again, after a while, and is one run; another schedule does not wait."""
    made = world.create()
    world.engine.busy = True
    world.pass_time(hours=1)
    world.pass_time(seconds=1)
    entries = [entry.action for entry in AuditLog(world.workspace).newest(100)]
    assert entries == ["trigger", "trigger refused"]
    world.engine.busy = False
    world.pass_time(seconds=30)
    assert (world.runs(), world.store.get(made.id).last_fire) == (1, START + timedelta(hours=1))


def test_a_disabled_pipeline(world: World) -> None:
    """A fire that can start nothing says why, and the schedule goes on."""
    made = world.create()
    world.pipelines.disable(world.pipeline)
    world.pass_time(hours=1)
    after = world.store.get(made.id)
    assert "disabled" in after.last_error
    assert (after.last_run_id, after.next_fire) == ("", START + timedelta(hours=2))
    world.pipelines.enable(world.pipeline)
    world.pass_time(hours=1)
    assert (world.runs(), world.store.get(made.id).last_error) == (1, "")


def test_a_pipeline_endpoint(world: World) -> None:
    """A schedule on a pipeline endpoint runs what the endpoint stands for at that moment."""
    endpoints = PipelineEndpoints(world.workspace)
    endpoint = endpoints.create("retraining", world.pipeline)
    world.create(pipeline_id=endpoint.id)
    world.pass_time(hours=1)
    other = world.pipelines.publish(replace(PIPELINE, description="better"), "2", "").id
    endpoints.set_default(endpoint.id, other)
    world.pass_time(hours=1)
    assert [request.pipeline_id for request in world.engine.started.values()] == [world.pipeline, other]


def test_new_data(world: World) -> None:
    """Each new version of a dataset, and of no other, is one run, which is given the version; what was there before is none."""
    world.add_dataset_version("1")
    made = world.create(NewDatasetVersion("bank", "dataset"))
    world.pass_time(seconds=1)
    world.add_dataset_version("1", "other")
    world.pass_time(seconds=1)
    assert world.runs() == 0
    for version in ("2", "3"):
        world.add_dataset_version(version)
        world.pass_time(seconds=1)
        world.restart()
        world.pass_time(seconds=1)
    assert [request.parameters for request in world.engine.started.values()] == [{"dataset": "bank:2"}, {"dataset": "bank:3"}]
    assert world.store.get(made.id).last_run_id == list(world.engine.started)[-1]


@pytest.mark.parametrize(("rule", "runs"), [(MissedFires.RUN_ONCE, 1), (MissedFires.SKIP, 0)])
def test_data_that_came_while_nobody_looked(world: World, rule: MissedFires, runs: int) -> None:
    """Several versions that came while no server ran are one run, of the newest, or none."""
    world.create(NewDatasetVersion("bank", "dataset"), missed_fires=rule)
    for version in ("1", "2"):
        world.add_dataset_version(version)
    world.pass_time(hours=1)
    world.scheduler.tick()
    assert [request.parameters["dataset"] for request in world.engine.started.values()] == ["bank:2"] * runs


def test_data_that_came_in_a_pause(world: World) -> None:
    """A version that came while the schedule was paused is none that it fires for."""
    made = world.create(NewDatasetVersion("bank", "dataset"))
    world.store.pause(made.id)
    world.add_dataset_version("1")
    world.store.resume(made.id, world.now)
    world.pass_time(seconds=1)
    assert world.runs() == 0


def test_data_before_the_start(world: World) -> None:
    """A version that came before the start is none that the schedule fires for."""
    world.create(NewDatasetVersion("bank", "dataset"), start=START + timedelta(hours=1))
    world.add_dataset_version("1")
    world.pass_time(seconds=1)
    world.pass_time(hours=2)
    assert world.runs() == 0
    world.add_dataset_version("2")
    world.pass_time(seconds=1)
    assert world.runs() == 1


def test_data_after_the_end(world: World) -> None:
    """A version that came after the end starts nothing, and the schedule is over."""
    made = world.create(NewDatasetVersion("bank", "dataset"), end=START + timedelta(hours=1))
    world.now += timedelta(hours=2)
    world.add_dataset_version("1")
    world.pass_time(seconds=1)
    assert (world.runs(), world.store.get(made.id).status) == (0, ScheduleStatus.COMPLETED)


def test_names_and_ends(world: World) -> None:
    """A name is taken once, and a deleted schedule leaves it free and fires no more."""
    made = world.create()
    with pytest.raises(ConflictError, match="'nightly'"):
        world.create()
    world.store.delete(made.id)
    world.pass_time(hours=2)
    assert (world.runs(), list(world.store.list())) == (0, [])
    for ask in (world.store.get, world.store.pause, world.store.delete):
        with pytest.raises(NotFoundError, match=made.id):
            ask(made.id)
    world.create()


@pytest.mark.parametrize(
    "fields",
    [
        {"when": Cron("never")},
        {"end": START - timedelta(hours=1)},
        {"end": START.replace(tzinfo=None)},
        {"start": START + timedelta(days=365 * 200)},
        {"when": NewDatasetVersion("a b")},
        {"start": START, "end": START},
    ],
    ids=str,
)
def test_what_can_not_be_scheduled(world: World, fields: dict[str, Any]) -> None:
    """What never fires, or has no time zone, is refused, and nothing of it is left."""
    with pytest.raises(InvalidRequestError):
        world.create(**fields)
    assert list(world.store.list()) == []


def test_what_is_scheduled_is_there(world: World) -> None:
    """A schedule names a pipeline that there is, with parameters that it has; what is done to it is in the audit log."""
    schedules = Schedules(world.workspace)
    config = ScheduleConfig("nightly", world.pipeline, HOURLY)
    made = schedules.create(config)
    refusals: tuple[tuple[ScheduleConfig, type[Exception]], ...] = (
        (replace(config, pipeline_id="nobody"), NotFoundError),
        (replace(config, parameters={"rate": 1}), InvalidRequestError),
        (replace(config, when=NewDatasetVersion("bank", "rate")), InvalidRequestError),
    )
    for refused, kind in refusals:
        with pytest.raises(kind):
            schedules.create(replace(refused, name="other"))
    change: Callable[[str], object]
    for change in (schedules.pause, schedules.resume, schedules.delete):
        change(made.id)
    actions = [(entry.action, entry.subject) for entry in AuditLog(world.workspace).newest(10)]
    assert actions == [(action, "schedule nightly") for action in ("schedule", "pause", "resume", "delete")]


def test_an_error_of_its_own_is_told(world: World) -> None:
    """What goes wrong inside shows at the schedule, costs no fire, and is gone when a later try goes well."""
    made = world.create()
    world.engine.broken = True
    world.pass_time(hours=1)
    told = world.store.get(made.id)
    assert (world.runs(), told.next_fire) == (0, made.next_fire)
    assert told.last_error.startswith("internal error, TypeError: not as it was written")
    world.engine.broken = False
    world.pass_time(minutes=5)
    assert (world.runs(), world.store.get(made.id).last_error) == (1, "")
