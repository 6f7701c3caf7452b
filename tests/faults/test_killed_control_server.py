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
from bankmlops.types import AutoMLConfig, EndpointState, PipelineRun, PublishedPipeline, RunStatus
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
DURING = "during"
SERVING = (
    Step("train", "automl", {"dataset": "bank", "experiment_timeout_minutes": 1.0}),
    Step("register", "register", {"automl_run_id": "${{ steps.train.outputs.automl_run_id }}", "model_name": "bank"}),
    Step("deploy", "deploy", {"model": "${{ steps.register.outputs.model }}", "endpoint": "bank-live", "runtime": "process"}),
)
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
@pytest.mark.parametrize("moment", [BEFORE, DURING, AFTER])
def test_killed_while_it_deploys(world: BreakablePipelines, moment: str) -> None:
    """Killed before it deploys, while the endpoint starts, or when that serves and is not recorded: one endpoint is served."""
    world.publish()
    published = world.backend.publish_pipeline(Pipeline("serving", SERVING), "1")
    if moment != DURING:
        world.breakpoints.set("deploy_model", moment)
    world.pipelines.up()
    run_id = world.trigger(published)
    if moment == DURING:
        wait_until(lambda: len(world.backend.list_endpoints()) == 1, 60)
    else:
        world.await_breakpoint()
    world.kill_server()
    world.breakpoints.clear()
    world.pipelines.up()
    run = world.await_end(run_id)
    assert run.status is RunStatus.COMPLETED, run.error
    (served,) = world.backend.list_endpoints()
    assert (served.state, served.scoring_uri) == (EndpointState.HEALTHY, run.outputs["scoring_uri"])
    assert len(world.registered()) == len(world.trainings()) == 1
    if moment == AFTER:
        assert [call.operation for call in world.breakpoints.calls() if call.moment == BEFORE].count("deploy_model") == 1
    world.backend.delete_endpoint(served.name)
    assert world.await_no_processes() == []


@long
def test_ten_kills_at_random(world: BreakablePipelines, record_property: Record) -> None:
    """Ten kills at moments that nobody chose, with runs at once and in all their steps: each run ends well."""
    published = world.publish()
    world.pipelines.up()
    runs = [world.trigger(published) for _ in range(RUNS)]
    _kill_at_random(world, published, runs, random.Random(7))
    _ended_well(world, [world.await_end(run_id) for run_id in runs])
    record_property("kills survived", world.kills)


@long
def test_ten_kills_while_it_really_trains(tmp_path: Path, record_property: Record) -> None:
    """The same with AutoML's own search behind it."""
    with breakable_pipelines(tmp_path, scripted=False) as world:
        automl = AutoMLConfig(DATASET, experiment_timeout_minutes=5, iterations=12)
        published = world.publish(automl)
        world.pipelines.up()
        runs = [world.trigger(published)]
        _kill_at_random(world, published, runs, random.Random(8))
        _ended_well(world, [world.await_end(run_id) for run_id in runs])
        record_property("kills survived", world.kills)


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
    _nothing_ran_again(world, recorded)
    assert world.kills == len(breakpoints)


def _kill_at_random(world: BreakablePipelines, published: PublishedPipeline, runs: list[str], chance: random.Random) -> None:
    """Kill and restart, ten times while a run is under way: where all in `runs` have ended, another is added."""
    under_way, recorded = list(runs), list[tuple[int, set[str]]]()
    while world.kills < KILLS:
        time.sleep(chance.uniform(0.0, 2.5))
        if all(world.backend.get_pipeline_run(run_id).status.is_final for run_id in under_way):
            _nothing_ran_again(world, recorded)
            under_way, recorded = [world.trigger(published)], []
            runs += under_way
            continue
        everywhere = set.intersection(*(world.completed_steps(run_id) for run_id in under_way))
        recorded.append((len(world.breakpoints.calls()), everywhere))
        world.kill_server()
        world.pipelines.up()
    for run_id in under_way:
        world.await_end(run_id)
    _nothing_ran_again(world, recorded)


def _nothing_ran_again(world: BreakablePipelines, recorded: list[tuple[int, set[str]]]) -> None:
    """No step made a call after all runs had recorded it; of each kill the calls before it and those steps are given."""
    for calls, steps in recorded:
        assert _ran_again(world.breakpoints.calls()[calls:], steps) == []


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
