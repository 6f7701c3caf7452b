"""What a cluster may do to a run before its first trial, by a stand-in for Ray; tests/system has a real one."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest

from bankmlops.automl import ray_executor
from bankmlops.automl.engines import executor_of
from bankmlops.automl.ray_executor import LEARNERS, Machine, RayExecutor
from bankmlops.automl.tasks import ALL_ROWS, FitTask
from bankmlops.errors import InvalidRequestError, RunFailedError
from bankmlops.types import Engine
from unit.automl.tables import columns, config

MACHINES = tuple(Machine(f"id-{number}", f"10.0.0.{number}", 4) for number in (1, 2, 3))
TABLE = (numpy.zeros((500, 1000), dtype=numpy.float32), numpy.zeros(500, dtype=numpy.int64), numpy.zeros(500, dtype=numpy.int8))


class _RayError(Exception):
    pass


class _TaskError(_RayError):
    pass


class _StoreFullError(_RayError):
    pass


class _Ray:
    """Its promises are the ids of machines: `answers` has what those say that ever do, an exception where they fail."""

    exceptions = SimpleNamespace(
        RayError=_RayError, RayTaskError=_TaskError, ObjectStoreFullError=_StoreFullError, OutOfDiskError=_StoreFullError
    )

    def __init__(self, answers: dict[str, Any] | None = None, refusal: Exception | None = None) -> None:
        self._answers = answers or {}
        self._refusal = refusal
        self.asked_of_it: list[dict[str, Any]] = []

    def is_initialized(self) -> bool:
        return True

    def put(self, table: object) -> object:
        if self._refusal:
            raise self._refusal
        return table

    def remote(self, function: object) -> Any:
        def options(**asked: Any) -> Any:
            self.asked_of_it.append(asked)
            return SimpleNamespace(remote=lambda *arguments: arguments)

        return SimpleNamespace(options=options)

    def wait(self, promises: Sequence[str], timeout: float) -> tuple[list[str], list[str]]:
        ended = [promise for promise in promises if promise in self._answers][:1]
        if not ended:
            time.sleep(timeout)
        return ended, [promise for promise in promises if promise not in ended]

    def get(self, promise: str) -> Any:
        if isinstance(self._answers[promise], Exception):
            raise self._answers[promise]
        return self._answers[promise]


def _answering(ray: _Ray, packages: Sequence[str] = LEARNERS) -> Sequence[Machine]:
    return ray_executor._answering(ray, {machine.id: machine for machine in MACHINES}, packages)


def test_a_machine_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once one answered, the others have little time; one that died counts as no answer."""
    monkeypatch.setattr(ray_executor, "_STRAGGLER_SECONDS", 0.2)
    same = ray_executor._installed(LEARNERS)
    began = time.monotonic()
    assert _answering(_Ray({"id-1": _RayError(), "id-2": same})) == [MACHINES[1]]
    assert 0.2 <= time.monotonic() - began < 10
    assert _answering(_Ray(dict.fromkeys(("id-1", "id-2", "id-3"), same))) == list(MACHINES)


def test_none_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is known after a bounded time."""
    monkeypatch.setattr(ray_executor, "GREETING_SECONDS", 0.1)
    assert _answering(_Ray()) == []


@pytest.mark.parametrize("package", ["xgboost-cpu", "torch"])
def test_another_version(package: str) -> None:
    """A machine is refused that has another one of a learner's package, those of a network too where the run has one."""
    packages = (*LEARNERS, "torch")
    other = {**ray_executor._installed(packages), package: "0.1"}
    with pytest.raises(InvalidRequestError, match=rf"machine 10\.0\.0\.1 of the Ray cluster has {package} 0\.1, and this one"):
        _answering(_Ray({"id-1": other}), packages)


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({}, LEARNERS),
        ({"enable_dnn": True}, (*LEARNERS, "torch", "tabm")),
        ({"enable_dnn": True, "blocked_models": ("TabMClassifier",)}, LEARNERS),
    ],
)
def test_the_packages_of_a_run(fields: Mapping[str, Any], asked: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch is asked for on the machines of a run that has a network, and of no other."""
    monkeypatch.setattr(ray_executor, "ray_tasks", lambda *arguments: arguments[-1])
    table: Any = SimpleNamespace(matrix=None, labels=None, folds=None)
    found: Any = executor_of(config(columns(20, 2), engine=Engine.RAY, address="auto", **fields), Path(), table)
    assert found == asked


def test_the_build_of_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch for processors and PyTorch for GPUs are of one version."""
    monkeypatch.setattr(ray_executor, "version", lambda _: "2.7.1+cpu")
    assert ray_executor._version("torch") == "2.7.1"


def test_a_table_that_does_not_fit(tmp_path: Path) -> None:
    """A full object store is one line, with what would serve; whatever else befalls the connection is said to be that."""
    with pytest.raises(
        RunFailedError, match=r"^the table \(2 MB\) does not fit .* sample it or give Ray more --object-store-mem"
    ):
        RayExecutor(_Ray(refusal=_StoreFullError()), tmp_path, MACHINES, TABLE)
    with pytest.raises(RunFailedError, match=r"^the connection to the Ray cluster was lost: reset"):
        RayExecutor(_Ray(refusal=ConnectionError("reset")), tmp_path, MACHINES, TABLE)


def test_a_task_asks_for_one_processor(tmp_path: Path) -> None:
    """However many threads it may have: a machine in use may never have several free at once."""
    ray = _Ray()
    executor = RayExecutor(ray, tmp_path, MACHINES, TABLE)
    assert executor.slots == 12
    executor.submit(FitTask("refit", "LightGBM", {}, ALL_ROWS, seed=1, threads=3))
    assert [asked["num_cpus"] for asked in ray.asked_of_it] == [1]
