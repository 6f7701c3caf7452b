"""Trial processes: what they leave, and that losing one costs that one alone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy
import psutil
import pytest

from bankmlops.automl.algorithms import algorithm_named
from bankmlops.automl.executor import ProcessExecutor, processes
from bankmlops.automl.tasks import ALL_ROWS, FitResult, FitTask, estimator_path, graph_path, read_result
from support.executors import ROWS, small_executor

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("search")


@pytest.fixture(scope="module")
def executor(folder: Path) -> Iterator[ProcessExecutor]:
    with small_executor(folder) as executor:
        yield executor


def _task(name: str, algorithm: str = "LogisticRegression", fold: int = 0) -> FitTask:
    learner = algorithm_named(algorithm)
    return FitTask(name, algorithm, learner.settle(learner.starts[0]), fold, seed=1, seconds=20.0)


def _endless(name: str) -> FitTask:
    """Boosting that learns for as long as it may."""
    parameters = {"n_estimators": 10**6, "learning_rate": 1e-7, "num_leaves": 31}
    return replace(_task(name), algorithm="LightGBM", parameters=parameters, seconds=600.0, fold=ALL_ROWS)


def _wait(executor: ProcessExecutor, seconds: float = 60.0) -> tuple[FitTask, FitResult]:
    ended = executor.next_ended(seconds)
    assert ended is not None
    return ended


def _workers() -> list[psutil.Process]:
    """The processes that the nursery forked."""
    return [fork for nursery in psutil.Process().children() for fork in nursery.children()]


@pytest.mark.parametrize("algorithm", ["LightGBM", "XGBoostClassifier", "LogisticRegression"])
def test_a_fold_is_scored(executor: ProcessExecutor, folder: Path, algorithm: str) -> None:
    """A task's result has probabilities for its fold's rows, better than chance, and stays on disk."""
    executor.submit(_task(f"fold-{algorithm}", algorithm))
    task, result = _wait(executor)
    assert task.name == f"fold-{algorithm}"
    assert result.error == ""
    assert result.probabilities.shape == (ROWS // 3, 2)
    assert numpy.allclose(result.probabilities.sum(axis=1), 1, atol=1e-6)
    assert (result.rounds > 0) == (algorithm != "LogisticRegression")
    kept = read_result(folder, task)
    assert kept is not None
    assert (kept.probabilities == result.probabilities).all()


def test_a_fit_on_all_rows_leaves_a_model(executor: ProcessExecutor, folder: Path) -> None:
    """A task on all rows leaves the estimator, its graph, and what it makes of every row."""
    executor.submit(_task("all", fold=ALL_ROWS))
    task, result = _wait(executor)
    assert result.probabilities.shape == (ROWS, 2)
    assert estimator_path(folder, task).stat().st_size > 100
    assert graph_path(folder, task).stat().st_size > 100


def test_a_learners_error_is_a_result(executor: ProcessExecutor) -> None:
    """Parameters that the learner refuses end the task with its reason."""
    executor.submit(replace(_task("refused"), parameters={"C": -1.0}))
    _, result = _wait(executor)
    assert "C" in result.error


def test_an_error_of_a_librarys_own_is_told(executor: ProcessExecutor) -> None:
    """LightGBM's errors are no ValueError and no RuntimeError: their reason is told too, in a fit of a fold or of all rows."""
    narrow = {"n_estimators": 5, "num_leaves": 1, "learning_rate": 0.1}
    for fold in (0, ALL_ROWS):
        executor.submit(replace(_task(f"refused-{fold}", "LightGBM", fold), parameters=narrow))
        _, result = _wait(executor)
        assert "num_leaves" in result.error
        assert result.error.startswith("LightGBMError: ")


def test_boosting_ends_with_its_seconds(executor: ProcessExecutor) -> None:
    """A boosted fit that could go on for ever keeps to its seconds, and says that it was stopped."""
    task = replace(_endless("bounded"), seconds=0.3, fold=0, parameters={"n_estimators": 10**6, "learning_rate": 1e-4})
    executor.submit(task)
    _, result = _wait(executor)
    assert result.error == ""
    assert result.rounds >= 1


def test_a_killed_task_is_not_heard_of_again(executor: ProcessExecutor) -> None:
    """Killing a task ends its process, and the next task runs as ever."""
    task = _endless("killed")
    executor.submit(task)
    _eventually(lambda: len(_workers()) == 1)
    executor.kill(task)
    _eventually(lambda: not _workers())
    assert executor.running == 0
    executor.submit(_task("after the kill"))
    assert _wait(executor)[0].name == "after the kill"


def test_a_task_that_ended_before_it_was_killed(executor: ProcessExecutor) -> None:
    """It is not heard of again either, though its end was known and not yet taken."""
    task = _task("ended")
    executor.submit(task)
    while executor.running:
        executor._listen()
    executor.kill(task)
    assert executor.next_ended(0.0) is None


def test_a_lost_process_costs_its_task_alone(executor: ProcessExecutor) -> None:
    """A trial process that dies (as when memory runs out) is an error of that trial; those beside it go on."""
    executor.submit(_endless("lost"))
    _eventually(lambda: len(_workers()) == 1)
    lost = _workers()[0].pid
    executor.submit(_task("beside it"))
    os.kill(lost, signal.SIGKILL)
    results = {task.name: result for task, result in (_wait(executor), _wait(executor))}
    assert "died" in results["lost"].error
    assert results["beside it"].error == ""


def test_nothing_is_left_when_the_block_ends(tmp_path: Path) -> None:
    """The nursery and its forks end with the block, whatever they are at."""
    matrix = numpy.zeros((30, 1), dtype=numpy.float32)
    labels = (numpy.arange(30) % 2).astype(numpy.int64)
    before = set(psutil.Process().children(recursive=True))
    with processes(tmp_path, matrix, labels, numpy.zeros(30, dtype=numpy.int8)) as executor:
        executor.submit(_endless("left"))
        _eventually(lambda: len(set(psutil.Process().children(recursive=True)) - before) == 2)
        mine = set(psutil.Process().children(recursive=True)) - before
    _eventually(lambda: not [process for process in mine if process.is_running()])


def _eventually(condition: object) -> None:
    deadline = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)
