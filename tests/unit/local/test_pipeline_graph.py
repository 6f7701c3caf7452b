"""Graphs of steps on the real engine: order, parameters, reuse, retries, timeouts, cancel and resubmission."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bankmlops.errors import ConflictError, InvalidRequestError
from bankmlops.local.pipelines.engine import PipelineEngine, RunRequest
from bankmlops.local.pipelines.files import StepFolder, path_of, read_file_output
from bankmlops.local.pipelines.sources import keep_sources
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.pipelines import Parameter, ParameterType, Pipeline, Retries, Step
from bankmlops.runs import wait
from bankmlops.types import ChildRun, PipelineRun, RunStatus, StepRun
from support.trainer import DATASET, Trainer, launched

pytestmark = pytest.mark.slow

SOURCE = """
import os, time
from pathlib import Path

def add(left, right=0):
    print("adding")
    return {"total": left + int(right)}

def write(text):
    Path("note.txt").write_text(text)
    return {"note": Path("note.txt"), "length": len(text)}

def read(note):
    return {"text": note.read_text()}

def fail_until(marker, times):
    seen = Path(marker)
    count = int(seen.read_text()) + 1 if seen.exists() else 1
    seen.write_text(str(count))
    if count <= times:
        raise RuntimeError(f"attempt {count}")
    return {"total": count}

def hang(marker):
    Path(marker).write_text(str(os.getpid()))
    time.sleep(600)

def meet(mine, other):
    Path(mine).touch()
    for _ in range(600):
        if Path(other).exists():
            return
        time.sleep(0.05)
    raise RuntimeError("nobody came")

def environment():
    return {"text": " ".join(sorted(os.environ))}

def die():
    os._exit(3)

def say_and_fail():
    print("what it says")
    raise RuntimeError("what it fails with")
"""


class Graphs:
    """An engine, its workspace, and functions to call."""

    def __init__(self, engine: PipelineEngine, trainer: Trainer, folder: Path) -> None:
        self.engine = engine
        self.trainer = trainer
        self.folder = folder
        self.workspace = LocalWorkspace(folder / "workspace")
        self.source = folder / "steps.py"
        self.source.write_text(SOURCE)

    def start(self, pipeline: Pipeline, **asked: Any) -> PipelineRun:
        return self.engine.start(str(uuid.uuid4()), RunRequest(keep_sources(self.workspace, pipeline), **asked))

    def end(self, run: PipelineRun) -> PipelineRun:
        return wait(self.engine.read, run.id, timeout_seconds=120, poll_seconds=0.1)

    def run(self, pipeline: Pipeline, **asked: Any) -> PipelineRun:
        return self.end(self.start(pipeline, **asked))

    def call(self, name: str, function: str, inputs: Mapping[str, Any], outputs: tuple[str, ...] = (), **more: Any) -> Step:
        source = str(self.source)
        return Step(name, "function", inputs, outputs, function=f"steps:{function}", source=source, **more)

    def marker(self) -> str:
        return str(self.folder / uuid.uuid4().hex)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graphs]:
    folder, trainer = tmp_path_factory.mktemp("graphs"), Trainer()
    with launched(folder / "dbos.sqlite", trainer) as engine:
        yield Graphs(engine, trainer, folder)


@pytest.fixture
def graphs(shared: Graphs) -> Graphs:
    shared.trainer.runs, shared.trainer.models, shared.trainer.dataset = [], [], DATASET
    shared.trainer.go_on()
    return shared


def _step(run: PipelineRun, name: str) -> StepRun:
    return next(step for step in run.steps if step.name == name)


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _name() -> str:
    return f"graph-{uuid.uuid4().hex[:8]}"


def test_values_and_files_flow(graphs: Graphs) -> None:
    """Text and files go from step to step, the run shows them, and each step has its log."""
    first = graphs.call("first", "write", {"text": "hello"}, ("note", "length"))
    second = graphs.call("second", "read", {"note": "${{ steps.first.outputs.note }}"}, ("text",))
    third = graphs.call("third", "add", {"left": 1, "right": "${{ steps.first.outputs.length }}"}, ("total",))
    run = graphs.run(Pipeline(_name(), (second, third, first), tags={"team": "risk"}), tags={"why": "test"}, run_source="SDK")
    assert run.status is RunStatus.COMPLETED, run.error
    assert [step.name for step in run.steps] == ["second", "third", "first"]
    assert (run.outputs["text"], run.outputs["total"], run.outputs["length"]) == ("hello", "6", "5")
    assert (run.tags, run.run_source) == ({"team": "risk", "why": "test"}, "SDK")
    assert _step(run, "second").depends_on == ("first",)
    file = read_file_output(run.outputs["note"])
    assert file is not None
    assert path_of(graphs.workspace, file).read_text() == "hello"
    assert any("adding" in line for line in StepFolder(graphs.workspace, run.id, "third").lines())
    assert all(step.started and step.ended and step.attempts == 1 and step.kind == "function" for step in run.steps)


def test_independent_steps_run_at_once(graphs: Graphs) -> None:
    """Two steps that wait for each other's sign both see it."""
    signs = graphs.marker(), graphs.marker()
    steps = (
        graphs.call("left", "meet", {"mine": signs[0], "other": signs[1]}),
        graphs.call("right", "meet", {"mine": signs[1], "other": signs[0]}),
    )
    assert graphs.run(Pipeline(_name(), steps)).status is RunStatus.COMPLETED


def test_parameters(graphs: Graphs) -> None:
    """A run has the parameters it was given, defaults for the rest, and is refused what the pipeline does not know."""
    parameters = (Parameter("left", ParameterType.INTEGER), Parameter("right", ParameterType.INTEGER, 2, (2, 3)))
    inputs = {"left": "${{ parameters.left }}", "right": "${{ parameters.right }}"}
    pipeline = Pipeline(_name(), (graphs.call("add", "add", inputs, ("total",)),), parameters)
    run = graphs.run(pipeline, parameters={"left": "40"})
    assert (run.outputs["total"], run.parameters) == ("42", {"left": "40", "right": "2"})
    for given in ({}, {"left": "many"}, {"left": 1, "right": 4}, {"left": 1, "middle": 2}):
        with pytest.raises(InvalidRequestError):
            graphs.start(pipeline, parameters=given)


def test_reuse_and_why_not(graphs: Graphs) -> None:
    """An unchanged step is taken from the run before; a changed one says what changed."""
    parameters = (Parameter("left", ParameterType.INTEGER, 1),)
    step = graphs.call("add", "add", {"left": "${{ parameters.left }}"}, ("total",))
    pipeline = Pipeline(_name(), (step, graphs.call("next", "add", {"left": 1}, ("total",), after=("add",))), parameters)
    first = graphs.run(pipeline)
    assert [each.reason for each in first.steps] == ["never ran", "never ran"]
    second = graphs.run(pipeline)
    assert [each.reused_from for each in second.steps] == [first.id, first.id]
    assert _step(second, "add").reason.startswith(f"REUSED from run {first.id} (")
    assert _step(second, "add").outputs == {"total": "1"}
    third = graphs.run(pipeline, parameters={"left": 2})
    assert (third.steps[0].reused_from, third.steps[0].reason) == ("", "parameter left 1 -> 2")
    assert _step(third, "next").reused_from == first.id
    anew = graphs.run(pipeline, allow_reuse=False)
    assert {each.reason for each in anew.steps} == {"reuse is off for this run"}
    graphs.source.write_text(SOURCE + "\n# changed\n")
    try:
        changed = graphs.run(pipeline)
    finally:
        graphs.source.write_text(SOURCE)
    assert _step(changed, "add").reason == "its code changed"
    off = replace(pipeline, steps=tuple(replace(each, allow_reuse=False) for each in pipeline.steps))
    assert {each.reason for each in graphs.run(off).steps} == {"reuse is off for this step"}


def test_reuse_of_training(graphs: Graphs) -> None:
    """A training on the same version of a dataset is not done again, one on a new version is; an effect always is."""
    steps = (
        Step("train", "automl", {"dataset": "bank"}),
        Step("register", "register", {"automl_run_id": "${{ steps.train.outputs.automl_run_id }}", "model_name": "bank"}),
    )
    pipeline = Pipeline(_name(), steps)
    first, second = graphs.run(pipeline), graphs.run(pipeline)
    assert (len(graphs.trainer.runs), len(graphs.trainer.models)) == (1, 1)
    assert _step(second, "train").reused_from == first.id
    assert _step(second, "register").reason == "a register step acts on the workspace, so it always runs"
    graphs.trainer.dataset = replace(DATASET, version="def")
    third = graphs.run(pipeline)
    assert _step(third, "train").reason == "dataset bank version abc -> def"
    assert (len(graphs.trainer.runs), len(graphs.trainer.models)) == (2, 2)


def test_a_failed_step_is_never_reused(graphs: Graphs) -> None:
    """What failed runs again, and what waits for it is not started, and says so."""
    marker = graphs.marker()
    flaky = graphs.call("flaky", "fail_until", {"marker": marker, "times": 1}, ("total",))
    pipeline = Pipeline(_name(), (flaky, graphs.call("then", "add", {"left": 1}, ("total",), after=("flaky",))))
    failed = graphs.run(pipeline)
    assert (failed.status, failed.error) == (RunStatus.FAILED, "flaky: steps:fail_until: RuntimeError: attempt 1")
    assert _step(failed, "flaky").error == "steps:fail_until: RuntimeError: attempt 1"
    assert (_step(failed, "then").status, _step(failed, "then").reason) == (RunStatus.NOT_STARTED, "the run failed before")
    again = graphs.run(pipeline)
    assert (again.status, _step(again, "flaky").reason) == (RunStatus.COMPLETED, "never ran")


def test_retries(graphs: Graphs) -> None:
    """A failing step is tried again as often as it may be, and says how often it was."""
    retries = Retries(2, wait_seconds=0.05, backoff=2.0)
    inputs = {"marker": graphs.marker(), "times": 2}
    run = graphs.run(Pipeline(_name(), (graphs.call("flaky", "fail_until", inputs, ("total",), retries=retries),)))
    assert (run.status, run.steps[0].attempts, run.outputs["total"]) == (RunStatus.COMPLETED, 3, "3")
    inputs = {"marker": graphs.marker(), "times": 9}
    run = graphs.run(Pipeline(_name(), (graphs.call("flaky", "fail_until", inputs, ("total",), retries=retries),)))
    assert (run.status, run.steps[0].attempts) == (RunStatus.FAILED, 3)


def test_a_new_attempt_trains_anew(graphs: Graphs) -> None:
    """A training that failed is not taken up by the next attempt."""
    graphs.trainer.status = RunStatus.FAILED
    try:
        step = Step("train", "automl", {"dataset": "bank"}, retries=Retries(1, wait_seconds=0.01))
        run = graphs.run(Pipeline(_name(), (step,)))
    finally:
        graphs.trainer.status = RunStatus.COMPLETED
    assert run.status is RunStatus.FAILED
    assert [each.tags["pipeline_attempt"] for each in graphs.trainer.runs] == ["1", "2"]


def test_timeouts(graphs: Graphs) -> None:
    """A function and a training that overrun their step's time are ended, and the run says so."""
    hang = graphs.call("hang", "hang", {"marker": graphs.marker()}, timeout_minutes=0.02)
    run = graphs.run(Pipeline(_name(), (hang,)))
    assert run.error == "hang: the step overran its timeout of 0.02 minutes and was ended"
    graphs.trainer.hold()
    run = graphs.run(Pipeline(_name(), (Step("train", "automl", {"dataset": "bank"}, timeout_minutes=0.01),)))
    assert "overran its timeout" in run.error
    assert [each.status for each in graphs.trainer.runs] == [RunStatus.CANCELED]


def test_cancel_ends_a_function(graphs: Graphs) -> None:
    """The process of a canceled function is gone."""
    marker = graphs.marker()
    run = graphs.start(Pipeline(_name(), (graphs.call("hang", "hang", {"marker": marker}),)))
    _until(lambda: Path(marker).exists() and Path(marker).read_text())
    pid = int(Path(marker).read_text())
    assert graphs.engine.read(run.id).steps[0].status is RunStatus.RUNNING
    assert graphs.engine.cancel(run.id).status is RunStatus.CANCELED
    _until(lambda: not Path(f"/proc/{pid}").exists())
    assert graphs.engine.read(run.id).steps[0].status is RunStatus.CANCELED


def test_a_function_has_no_secrets_and_may_die(graphs: Graphs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function's environment has nothing of this process that it does not need; one that dies is an error of one line."""
    monkeypatch.setenv("BANKMLOPS_DATABASE_URL", "postgresql://user:secret@db/x")
    run = graphs.run(Pipeline(_name(), (graphs.call("look", "environment", {}, ("text",)),)))
    assert "BANKMLOPS_DATABASE_URL" not in run.outputs["text"]
    run = graphs.run(Pipeline(_name(), (graphs.call("die", "die", {}),)))
    assert run.error.startswith("die: steps:die ended without a result")


def test_a_functions_log(graphs: Graphs) -> None:
    """What a function prints is in the step's log, in its place before what it fails with."""
    run = graphs.run(Pipeline(_name(), (graphs.call("say", "say_and_fail", {}),)))
    lines = list(StepFolder(graphs.workspace, run.id, "say").lines())
    assert lines.index("what it says") < lines.index("RuntimeError: what it fails with")


def test_resubmit(graphs: Graphs) -> None:
    """A failed run goes on from its finished steps, and an ended one from the step that is asked for."""
    first = graphs.call("first", "add", {"left": 1}, ("total",), allow_reuse=False)
    flaky = graphs.call("flaky", "fail_until", {"marker": graphs.marker(), "times": 1}, ("total",), after=("first",))
    last = graphs.call("last", "add", {"left": 1, "right": "${{ steps.flaky.outputs.total }}"}, ("total",), allow_reuse=False)
    failed = graphs.run(Pipeline(_name(), (first, flaky, last)))
    assert failed.status is RunStatus.FAILED
    again = graphs.end(graphs.engine.resubmit(failed.id))
    assert (again.status, again.resubmitted_from) == (RunStatus.COMPLETED, failed.id)
    assert [step.attempts for step in again.steps] == [0, 1, 1]
    assert _step(again, "first").reused_from == failed.id
    assert _step(again, "first").reason == f"taken over from run {failed.id}"
    later = graphs.end(graphs.engine.resubmit(again.id, "last"))
    assert [step.attempts for step in later.steps] == [0, 0, 1]
    for step in ("", "nobody"):
        with pytest.raises(InvalidRequestError, match="first, flaky, last"):
            graphs.engine.resubmit(again.id, step)


def test_resubmit_what_runs(graphs: Graphs) -> None:
    """A run that goes on can't be resubmitted."""
    graphs.trainer.hold()
    run = graphs.start(Pipeline(_name(), (Step("train", "automl", {"dataset": "bank"}),)))
    with pytest.raises(ConflictError, match="when it has ended"):
        graphs.engine.resubmit(run.id)
    graphs.engine.cancel(run.id)


def test_progress_of_a_training(graphs: Graphs) -> None:
    """While a model trains, its step shows the training's own line, and the best score so far also where that does not say it."""
    graphs.trainer.hold()
    run = graphs.start(Pipeline(_name(), (Step("train", "automl", {"dataset": "bank"}),)))
    _until(lambda: graphs.engine.read(run.id).steps[0].run_id)
    assert graphs.engine.read(run.id).steps[0].progress == "starting"
    graphs.trainer.runs = [replace(each, progress="trial 7, best accuracy 0.9161") for each in graphs.trainer.runs]
    assert graphs.engine.read(run.id).steps[0].progress == "trial 7, best accuracy 0.9161"
    assert next(each for each in graphs.engine.list() if each.id == run.id).steps[0].progress
    training = graphs.engine.read(run.id).steps[0].run_id
    graphs.trainer.runs = [replace(each, progress="writing the report") for each in graphs.trainer.runs]
    assert graphs.engine.read(run.id).steps[0].progress == "writing the report"
    graphs.trainer.children = {training: [ChildRun("child", 0, "LightGBM", RunStatus.COMPLETED, 0.91612)]}
    assert graphs.engine.read(run.id).steps[0].progress == "writing the report, best accuracy 0.9161"
    graphs.engine.cancel(run.id)


def test_a_gate_that_stops(graphs: Graphs) -> None:
    """A gate that lets nothing through may end the run well: what waits for it is not done, and says why."""
    steps = (
        Step("train", "automl", {"dataset": "bank"}),
        Step(
            "gate",
            "evaluate",
            {"automl_run_id": "${{ steps.train.outputs.automl_run_id }}", "minimum": 0.95, "otherwise": "stop"},
        ),
        Step("register", "register", {"automl_run_id": "${{ steps.gate.outputs.automl_run_id }}", "model_name": "bank"}),
        graphs.call("other", "add", {"left": 1}, ("total",)),
    )
    run = graphs.run(Pipeline(_name(), steps))
    assert run.status is RunStatus.COMPLETED
    assert _step(run, "gate").outputs["passed"] == "false"
    assert (_step(run, "register").status, _step(run, "register").reason) == (
        RunStatus.NOT_STARTED,
        "gate let nothing through: accuracy is 0.9000, below the gate of 0.95: no model was registered",
    )
    assert _step(run, "other").status is RunStatus.COMPLETED
    assert graphs.trainer.models == []


def test_nobody_brings_a_path(graphs: Graphs) -> None:
    """The engine runs source that the workspace keeps, and nothing that a caller names."""
    pipeline = Pipeline(_name(), (graphs.call("add", "add", {"left": 1}, ("total",)),))
    with pytest.raises(InvalidRequestError, match="its source is not in this workspace"):
        graphs.engine.start(str(uuid.uuid4()), RunRequest(pipeline))
