"""Pipeline runs on the real engine, with a backend that trains in no time."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from dbos import DBOS
from dbos._sys_db import SystemDatabase

from bankmlops.errors import BackendUnavailableError, ConflictError, InvalidRequestError, NotFoundError
from bankmlops.local.pipelines.engine import PipelineEngine, RunRequest
from bankmlops.local.pipelines.requests import StepRequest, StepResult
from bankmlops.local.pipelines.training import find_automl_runs
from bankmlops.local.pipelines.workflows import STEP_QUEUE, _StepCarrier
from bankmlops.pipelines import from_config
from bankmlops.runs import wait
from bankmlops.types import Dataset, Device, Engine, PipelineConfig, PipelineRun, RunStatus
from support.trainer import CONFIG, DATASET, Trainer, launched

pytestmark = pytest.mark.slow
STEPS = ("prepare", "automl", "evaluate", "register")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PipelineEngine, Trainer]]:
    trainer = Trainer()
    with launched(tmp_path_factory.mktemp("engine") / "dbos.sqlite", trainer) as engine:
        yield engine, trainer


@pytest.fixture
def engine(shared: tuple[PipelineEngine, Trainer]) -> PipelineEngine:
    return shared[0]


@pytest.fixture
def trainer(shared: tuple[PipelineEngine, Trainer]) -> Iterator[Trainer]:
    """As new for each test, and as before after it."""
    trainer = shared[1]
    trainer.runs, trainer.models = [], []
    trainer.go_on()
    yield trainer
    trainer.status, trainer.error, trainer.dataset = RunStatus.COMPLETED, "", DATASET
    trainer.go_on()


def _start(engine: PipelineEngine, config: PipelineConfig = CONFIG, run_id: str = "") -> PipelineRun:
    request = RunRequest(from_config(config), experiment_name="triggered", pipeline_id="pipeline-id")
    return engine.start(run_id or str(uuid.uuid4()), request)


def _end(engine: PipelineEngine, run: PipelineRun) -> PipelineRun:
    return wait(engine.read, run.id, timeout_seconds=60, poll_seconds=0.1)


def _wait_until(engine: PipelineEngine, run: PipelineRun, condition: Callable[[PipelineRun], bool]) -> PipelineRun:
    def read(run_id: str) -> PipelineRun:
        found = engine.read(run_id)
        return replace(found, status=RunStatus.COMPLETED) if condition(found) else found

    return wait(read, run.id, timeout_seconds=60, poll_seconds=0.05)


def test_a_run(engine: PipelineEngine, trainer: Trainer) -> None:
    """A run prepares, trains, evaluates and registers, and says what came of it."""
    run = _end(engine, _start(engine))
    assert (run.status, run.experiment_name, run.pipeline_id) == (RunStatus.COMPLETED, "triggered", "pipeline-id")
    assert tuple(step.name for step in run.steps) == STEPS
    assert {step.status for step in run.steps} == {RunStatus.COMPLETED}
    assert all(step.seconds > 0 for step in run.steps)
    assert run.steps[1].run_id == trainer.runs[0].id
    assert run.outputs == {
        "dataset": "bank:abc",
        "rows": "100",
        "automl_run_id": "AutoML_0",
        "best_algorithm": "LightGBM",
        "primary_metric": "accuracy",
        "score": "0.9",
        "passed": "true",
        "model_name": "bank",
        "model_version": "1",
        "model": "bank:1",
    }
    assert run.started is not None
    assert run.ended is not None
    assert run.started <= run.ended
    marks = {"pipeline_run_id": run.id, "pipeline_step": "automl", "pipeline_attempt": "1"}
    assert trainer.runs[0].tags == {"team": "risk", **marks}


def test_where_it_trains(engine: PipelineEngine, trainer: Trainer) -> None:
    """The device, the engine and the cluster that a pipeline was published with reach its training."""
    elsewhere = {"device": Device.CPU, "engine": Engine.RAY, "address": "10.0.0.1:6379"}
    run = _end(engine, _start(engine, replace(CONFIG, automl=replace(CONFIG.automl, **elsewhere))))
    assert run.status is RunStatus.COMPLETED, run.error
    asked = trainer.asked[-1]
    assert {name: getattr(asked, name) for name in elsewhere} == elsewhere


def test_the_gate(engine: PipelineEngine, trainer: Trainer) -> None:
    """A model below the minimum score is not registered, and the run says which step stopped it, and why."""
    run = _end(engine, _start(engine, replace(CONFIG, minimum_score=0.95)))
    assert run.status is RunStatus.FAILED
    assert run.error == "evaluate: accuracy is 0.9000, below the gate of 0.95: no model was registered"
    assert [step.status for step in run.steps] == [
        RunStatus.COMPLETED,
        RunStatus.COMPLETED,
        RunStatus.FAILED,
        RunStatus.NOT_STARTED,
    ]
    assert trainer.models == []


def test_the_gate_lets_through(engine: PipelineEngine, trainer: Trainer) -> None:
    """A score that equals the minimum passes."""
    assert _end(engine, _start(engine, replace(CONFIG, minimum_score=0.9))).status is RunStatus.COMPLETED
    assert len(trainer.models) == 1


def test_training_that_fails(engine: PipelineEngine, trainer: Trainer) -> None:
    """The reason of the training run is the pipeline's."""
    trainer.status, trainer.error = RunStatus.FAILED, "no trial finished"
    run = _end(engine, _start(engine))
    assert (run.status, run.error) == (RunStatus.FAILED, "automl: AutoML run AutoML_0 ended Failed: no trial finished")


@pytest.mark.parametrize("dataset", [replace(DATASET, sha256="other"), replace(DATASET, name="other")])
def test_another_dataset(engine: PipelineEngine, trainer: Trainer, dataset: Dataset) -> None:
    """A dataset that is gone, or is not what it was, stops the run before it trains."""
    trainer.dataset = dataset
    run = _end(engine, _start(engine))
    assert run.status is RunStatus.FAILED
    assert run.error.startswith("prepare: ")
    assert trainer.runs == []


def test_the_same_id_is_the_same_run(engine: PipelineEngine, trainer: Trainer) -> None:
    """A run that is started again by its id is not run again; another request under it is refused."""
    first = _end(engine, _start(engine))
    assert _start(engine, run_id=first.id) == first
    assert len(trainer.runs) == len(trainer.models) == 1
    with pytest.raises(ConflictError, match="idempotency key"):
        _start(engine, replace(CONFIG, model_name="other"), first.id)


def test_the_same_id_whatever_is_judged_today(engine: PipelineEngine, trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was accepted is answered again under its id, also where its values would be refused by now."""
    first = _end(engine, _start(engine))

    def refuse(*_arguments: object) -> None:
        raise InvalidRequestError("not any more")

    monkeypatch.setattr("bankmlops.local.pipelines.engine.check_values", refuse)
    assert _start(engine, run_id=first.id) == first
    assert len(trainer.runs) == 1
    with pytest.raises(InvalidRequestError, match="not any more"):
        _start(engine)


def test_cancel(engine: PipelineEngine, trainer: Trainer) -> None:
    """A canceled run ends its training and registers nothing."""
    trainer.hold()
    run = _start(engine)
    _wait_until(engine, run, lambda found: bool(found.steps[1].run_id))
    canceled = engine.cancel(run.id)
    assert canceled.status is RunStatus.CANCELED
    assert canceled.steps[-1].reason == "the run was canceled before"
    assert [run.status for run in trainer.runs] == [RunStatus.CANCELED]
    trainer.go_on()
    assert _end(engine, _start(engine)).status is RunStatus.COMPLETED
    assert [model.run_id for model in trainer.models] == ["AutoML_1"]
    assert engine.read(run.id).status is RunStatus.CANCELED


class Gate:
    """A place at which whoever passes first stands until it is opened."""

    def __init__(self) -> None:
        self._reached, self._open = threading.Event(), threading.Event()

    def pass_by(self) -> None:
        self._reached.set()
        assert self._open.wait(60)

    def await_somebody(self) -> None:
        assert self._reached.wait(60)

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Gate]:
    """A gate in a step's way: before its run enqueues it, in the middle of that transaction, behind it, or where it is taken."""
    gate, enqueue = Gate(), DBOS.enqueue_workflow
    insert, carry_out = SystemDatabase._insert_workflow_status, _StepCarrier.carry_out

    def enqueued(queue: str, *given: Any) -> Any:
        if queue == STEP_QUEUE and request.param == "before":
            gate.pass_by()
        handle = enqueue(queue, *given)
        if queue == STEP_QUEUE and request.param == "behind":
            gate.pass_by()
        return handle

    def inserted(database: SystemDatabase, status: Any, *given: Any, **named: Any) -> Any:
        if status["parent_workflow_id"] and request.param == "within":
            gate.pass_by()
        return insert(database, status, *given, **named)

    def carried_out(carrier: _StepCarrier, asked: StepRequest) -> StepResult:
        if request.param == "taken":
            gate.pass_by()
        return carry_out(carrier, asked)

    monkeypatch.setattr(DBOS, "enqueue_workflow", enqueued)
    monkeypatch.setattr(SystemDatabase, "_insert_workflow_status", inserted)
    monkeypatch.setattr(_StepCarrier, "carry_out", carried_out)
    yield gate
    gate.open()


@pytest.mark.parametrize("gate", ["before", "within", "behind", "taken"], indirect=True)
def test_cancel_against_enqueue(engine: PipelineEngine, trainer: Trainer, gate: Gate) -> None:
    """A run that is canceled in the very moment in which a step of it is enqueued, or taken, does not go on."""
    trainer.hold()
    run = _start(engine)
    gate.await_somebody()
    with ThreadPoolExecutor(1) as thread:
        canceled = thread.submit(engine.cancel, run.id)
        futures.wait([canceled], timeout=0.5)  # it may have to wait for the transaction, and for a step that is faster
        gate.open()
        assert canceled.result(60).status is RunStatus.CANCELED
    trainer.go_on()
    assert _end(engine, _start(engine)).status is RunStatus.COMPLETED
    assert len(trainer.models) == 1
    assert {each.status for each in find_automl_runs(trainer, run.id)} <= {RunStatus.CANCELED}  # type: ignore[arg-type]
    after = engine.read(run.id)
    assert after.status is RunStatus.CANCELED
    assert not {step.status for step in after.steps} & {RunStatus.RUNNING, RunStatus.FAILED}
    assert after.steps[-1].status is RunStatus.NOT_STARTED


def test_cancel_what_ended(engine: PipelineEngine, trainer: Trainer) -> None:
    """A finished run stays as it is."""
    run = _end(engine, _start(engine))
    assert engine.cancel(run.id) == run


def test_not_there(engine: PipelineEngine) -> None:
    """An unknown run is named, whatever is asked of it."""
    for ask in (engine.read, engine.cancel):
        with pytest.raises(NotFoundError, match="'nobody'"):
            ask("nobody")


def test_the_newest_first(engine: PipelineEngine, trainer: Trainer) -> None:
    """Runs are listed newest first."""
    runs = [_end(engine, _start(engine)).id for _ in range(2)]
    assert [run.id for run in engine.list()][:2] == runs[::-1]


def test_a_register_step_that_runs_again(engine: PipelineEngine, trainer: Trainer) -> None:
    """Where an attempt before a crash registered the model, no second version is made."""
    trainer.hold()
    run = _start(engine)
    _wait_until(engine, run, lambda found: bool(found.steps[1].run_id))
    trainer.register_model("AutoML_0", "bank")
    trainer.register_model("AutoML_of_others", "bank")
    trainer.go_on()
    assert _end(engine, run).outputs["model_version"] == "1"
    assert len(trainer.models) == 2


def test_a_submit_step_that_runs_again(engine: PipelineEngine, trainer: Trainer) -> None:
    """Where an attempt before a crash started the training, it is taken up, not started again."""
    run_id = str(uuid.uuid4())
    marks = {"pipeline_run_id": run_id, "pipeline_step": "automl", "pipeline_attempt": "1"}
    trainer.submit_automl(replace(CONFIG.automl, tags=marks))
    assert _end(engine, _start(engine, run_id=run_id)).outputs["automl_run_id"] == "AutoML_0"
    assert len(trainer.runs) == 1


def test_a_crowd_at_once(engine: PipelineEngine, trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that ask at the same moment do not pass the bound together."""
    monkeypatch.setattr("bankmlops.local.pipelines.engine._WAITING_RUNS", 3)
    trainer.hold()
    with ThreadPoolExecutor(12) as threads:
        asked = [threads.submit(_start, engine) for _ in range(12)]
    refused = [each for each in asked if isinstance(each.exception(), BackendUnavailableError)]
    accepted = [each.result() for each in asked if each not in refused]
    trainer.go_on()
    assert (len(accepted), len(refused)) == (3, 9)
    assert [_end(engine, run).status for run in accepted] == [RunStatus.COMPLETED] * 3
