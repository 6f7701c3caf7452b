"""`kill -9` of the control server in each step of a pipeline and at random: every run ends well, and nothing happens twice.

`make test` kills in each step of a graph of functions; `make test-faults` (BANKMLOPS_LONG_TESTS=1) kills before and after each
effect of a training pipeline, ten times at random, and while it really trains.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bankmlops.pipelines import Pipeline, Step
from bankmlops.types import AutoMLConfig, PipelineRun, RunStatus
from support.breakable_pipelines import BreakablePipelines, breakable_pipelines
from support.breakpoints import AFTER, BEFORE, Call
from support.trainer import DATASET
from support.waiting import wait_until

pytestmark = pytest.mark.slow
long = pytest.mark.skipif(os.environ.get("BANKMLOPS_LONG_TESTS") != "1", reason="minutes: make test-faults")

STEP_OF = {"submit_automl": "automl", "register_model": "register"}
WORST = (("submit_automl", AFTER), ("register_model", AFTER))
EVERYWHERE = (
    ("get_dataset", BEFORE),
    ("get_dataset", AFTER),
    ("submit_automl", BEFORE),
    ("submit_automl", AFTER),
    ("get_run", AFTER),
    ("register_model", BEFORE),
    ("register_model", AFTER),
)
NAMES = ("a", "b", "c", "d")
SUPPORT = Path(__file__).parents[1] / "support"
RUNS, KILLS = 3, 10
Record = Callable[[str, object], None]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[BreakablePipelines]:
    with breakable_pipelines(tmp_path) as world:
        yield world


def test_killed_in_each_step_of_a_graph(world: BreakablePipelines) -> None:
    """Killed while each step of a diamond is at work, the run ends well: what was recorded stays, the rest is done anew."""
    published = world.backend.publish_pipeline(Pipeline("diamond", _diamond(world.folder)), "1")
    for name in NAMES:
        (world.folder / f"hold-{name}").touch()
    world.pipelines.up()
    run_id = world.trigger(published)
    recorded: list[tuple[int, set[str]]] = [(0, set())]
    for place, name in enumerate(NAMES):
        known, before = recorded[-1][0], set(NAMES[:place])
        wait_until(lambda name=name, known=known: name in _begun(world)[known:])
        wait_until(lambda before=before: before <= world.completed_steps(run_id))
        recorded.append((len(_begun(world)), world.completed_steps(run_id)))
        world.kill_server()
        (world.folder / f"hold-{name}").unlink()
        world.pipelines.up()
    run = world.await_end(run_id)
    assert run.status is RunStatus.COMPLETED, run.error
    assert run.outputs["d.done"] == "abd"
    for known, steps in recorded:
        assert not steps & set(_begun(world)[known:])
    assert [steps for _, steps in recorded][1:] == [set(), {"a"}, {"a", "b"}, {"a", "b", "c"}]
    assert world.await_no_processes() == []


def _diamond(folder: Path) -> tuple[Step, ...]:
    def step(name: str, before: str = "", after: tuple[str, ...] = ()) -> Step:
        inputs = {"folder": str(folder), "name": name}
        if before:
            inputs["before"] = f"${{{{ steps.{before}.outputs.done }}}}"
        return Step(
            name,
            "function",
            inputs,
            ("done",),
            after,
            function="held_steps:work",
            source=str(SUPPORT / "held_steps.py"),
            allow_reuse=False,
        )

    return step("a"), step("b", "a"), step("c", "a"), step("d", "b", after=("c",))


def _begun(world: BreakablePipelines) -> list[str]:
    """The steps whose function was called, in the order of the calls."""
    path = world.folder / "begun"
    return path.read_text().split() if path.exists() else []


@long
def test_killed_between_an_effect_and_its_record(world: BreakablePipelines) -> None:
    """Killed when it has begun to train, and when it has registered, but before either is recorded, the run ends well."""
    _kill_at_each(world, WORST)


@long
def test_killed_in_each_step(world: BreakablePipelines, record_property: Record) -> None:
    """Killed before and after each effect of each step, the run ends well."""
    _kill_at_each(world, EVERYWHERE)
    record_property("kills survived", world.kills)


@long
def test_ten_kills_at_random(world: BreakablePipelines, record_property: Record) -> None:
    """Ten kills at moments that nobody chose, with runs at once and in all their steps: each run ends well."""
    published = world.publish()
    world.pipelines.up()
    runs = [world.trigger(published) for _ in range(RUNS)]
    kills = _kill_at_random(world, runs, random.Random(7))
    _ended_well(world, [world.await_end(run_id) for run_id in runs])
    record_property("kills survived", kills)


@long
def test_ten_kills_while_it_really_trains(tmp_path: Path, record_property: Record) -> None:
    """The same with AutoML's own search behind it."""
    with breakable_pipelines(tmp_path, scripted=False) as world:
        automl = AutoMLConfig(DATASET, experiment_timeout_minutes=5, iterations=12)
        published = world.publish(automl)
        world.pipelines.up()
        runs = [world.trigger(published)]
        kills = _kill_at_random(world, runs, random.Random(8))
        _ended_well(world, [world.await_end(run_id) for run_id in runs])
        record_property("kills survived", kills)


def _kill_at_each(world: BreakablePipelines, breakpoints: tuple[tuple[str, str], ...]) -> None:
    published = world.publish()
    world.breakpoints.set(*breakpoints[0])
    world.pipelines.up()
    run_id = world.trigger(published)
    recorded: list[tuple[int, set[str]]] = []
    for following in (*breakpoints[1:], None):
        world.await_breakpoint()
        recorded.append((len(world.breakpoints.calls()), world.completed_steps(run_id)))
        world.kill_server()
        world.breakpoints.set(*following) if following else world.breakpoints.clear()
        world.pipelines.up()
    _ended_well(world, [world.await_end(run_id)])
    for calls, steps in recorded:
        assert _ran_again(world.breakpoints.calls()[calls:], steps) == []
    assert world.kills == len(breakpoints)


def _kill_at_random(world: BreakablePipelines, runs: list[str], chance: random.Random) -> int:
    """Kill and restart, again and again; answers how often a run was under way then."""
    under_way = 0
    recorded: list[tuple[int, dict[str, set[str]]]] = []
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.0, 2.5))
        recorded.append((len(world.breakpoints.calls()), {run_id: world.completed_steps(run_id) for run_id in runs}))
        under_way += not all(world.backend.get_pipeline_run(run_id).status.is_final for run_id in runs)
        world.kill_server()
        world.pipelines.up()
    for calls, steps in recorded:
        everywhere = set.intersection(*steps.values())
        assert _ran_again(world.breakpoints.calls()[calls:], everywhere) == []
    return under_way


def _ran_again(calls: list[Call], steps: set[str]) -> list[Call]:
    """The calls that belong to one of these steps."""
    return [call for call in calls if STEP_OF.get(call.operation) in steps]


def _ended_well(world: BreakablePipelines, runs: list[PipelineRun]) -> None:
    """Each run is completed and has trained and registered once; nothing is left that runs, or that MLflow takes for running."""
    assert {run.status for run in runs} == {RunStatus.COMPLETED}, [run.error for run in runs]
    trained = sorted(run.outputs["automl_run_id"] for run in runs)
    assert sorted(world.trainings()) == trained
    assert sorted(world.mlflow_runs()) == [(name, "FINISHED") for name in trained]
    assert world.mlflow_runs_left_running() == []
    versions = {run.outputs["model_version"]: run.outputs["automl_run_id"] for run in runs}
    assert dict(world.registered()) == versions
    assert len(world.registered()) == len(runs)
    assert world.await_no_processes() == []
