"""The unit of work that a trial process does: fit one configuration once, on the rows of one fold or on all of them.

A task and its result are files in the run's search folder: whoever is killed, whatever had ended is still there.
"""

from __future__ import annotations

import errno
import json
import os
import time
import traceback
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy

from bankmlops.automl.folds import IN_NO_FIT

Array = numpy.ndarray[Any, Any]

ALL_ROWS = -1
RESULT = "result.json"
_PROBABILITIES, _ESTIMATOR, _GRAPH = "probabilities.npy", "estimator.pkl", "model.onnx"
_OF_LEARNERS = (ValueError, ArithmeticError, MemoryError, RuntimeError, ImportError)  # which speak for themselves
DISK_REFUSALS = frozenset({errno.EFBIG, errno.ENOSPC, errno.EROFS, errno.EDQUOT})  # which the next task would meet too


@dataclass(frozen=True, slots=True)
class FitTask:
    """Fit `algorithm` with `parameters` without the rows of `fold`, and score these; or fit it on `ALL_ROWS`, and score all.

    All rows are without those of a validation dataset. `seconds` bounds the rounds (0: not at all); what there is by then is the
    model. `device` is "cuda" where a GPU serves those that can use it.
    """

    name: str
    algorithm: str
    parameters: Mapping[str, float]
    fold: int
    seed: int
    threads: int = 1
    seconds: float = 0.0
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class FitResult:
    """`probabilities` [rows of the fold, classes], empty after an error; `rounds` is how many a learner that has such kept.

    `seconds` are of the wall clock, `cpu_seconds` of the processor.
    """

    seconds: float
    rounds: int = 0
    error: str = ""
    probabilities: Array = field(default_factory=lambda: numpy.empty((0, 0)))
    stopped: bool = False
    cpu_seconds: float = 0.0


def estimator_path(folder: Path, task: FitTask) -> Path:
    """Where a task on all rows leaves its fitted estimator."""
    return folder / task.name / _ESTIMATOR


def graph_path(folder: Path, task: FitTask) -> Path:
    """Where a task on all rows leaves its estimator's ONNX graph."""
    return folder / task.name / _GRAPH


def read_result(folder: Path, task: FitTask) -> FitResult | None:
    """What the task left, or None where it did not end."""
    found = _read(folder / task.name)
    return found[1] if found else None


def read_results(folder: Path) -> list[tuple[FitTask, FitResult]]:
    """Every task that ended with what it left, by name; those of a search that was killed too."""
    found = [_read(path.parent) for path in sorted(folder.glob(f"*/{RESULT}"))]
    return [pair for pair in found if pair is not None]


def _read(place: Path) -> tuple[FitTask, FitResult] | None:
    """None where there is no result, or half of one: after a power cut a file may be there and its content may not."""
    try:
        document = json.loads((place / RESULT).read_text())
        task = FitTask(**document.pop("task"))
        if document["error"]:
            return task, FitResult(**document)
        return task, FitResult(**document, probabilities=numpy.load(place / _PROBABILITIES))
    except (FileNotFoundError, EOFError, ValueError, KeyError, TypeError):
        return None


def write_result(folder: Path, task: FitTask, result: FitResult) -> None:
    """Leave the result; the JSON comes last, and whole, so that whoever finds it finds all."""
    place = folder / task.name
    place.mkdir(parents=True, exist_ok=True)
    if not result.error:
        save_array(place / _PROBABILITIES, result.probabilities)
    document = {
        "task": asdict(task),
        "seconds": result.seconds,
        "cpu_seconds": result.cpu_seconds,
        "rounds": result.rounds,
        "error": result.error,
        "stopped": result.stopped,
    }
    waiting = place / f".{RESULT}"
    waiting.write_text(json.dumps(document))
    os.replace(waiting, place / RESULT)


def save_array(path: Path, array: Array) -> None:
    """Write a `.npy` file; raises `OSError` that names it."""
    try:
        numpy.save(path, array)
    except OSError as error:
        reason = error.errno or errno.ENOSPC  # numpy says that not all was written, and not why
        raise OSError(reason, os.strerror(reason), str(path)) from error


def perform(folder: Path, task: FitTask, matrix: Array, labels: Array, folds: Array) -> None:
    """Do the task and leave its result; an error of the learner is a result too. Raises `OSError` where the disk refuses."""
    started, cpu = time.perf_counter(), time.process_time()
    warnings.simplefilter("ignore")  # such as "did not converge": the score says what a fit is worth
    try:
        if task.fold == ALL_ROWS:
            result = _fit_all(folder, task, matrix, labels, folds != IN_NO_FIT)
        else:
            result = _fit_fold(task, matrix, labels, folds)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK_REFUSALS:
            raise
        reason = " ".join(str(error).split())
        if not reason or not isinstance(error, _OF_LEARNERS):
            traceback.print_exc()  # into the run's log
            reason = f"{type(error).__name__}: {reason}".removesuffix(": ")
        result = FitResult(time.perf_counter() - started, error=reason[:300])
    write_result(folder, task, replace(result, cpu_seconds=time.process_time() - cpu))


def _fit_fold(task: FitTask, matrix: Array, labels: Array, folds: Array) -> FitResult:
    from bankmlops.automl.fitting import fit_and_score

    started = time.perf_counter()
    held_out = folds == task.fold
    classes = int(labels.max()) + 1
    fitted = fit_and_score(task, matrix[~held_out], labels[~held_out], matrix[held_out], labels[held_out], classes)
    return FitResult(
        time.perf_counter() - started,
        rounds=fitted.rounds,
        probabilities=fitted.probabilities,
        stopped=fitted.stopped_by_time,
    )


def _fit_all(folder: Path, task: FitTask, matrix: Array, labels: Array, fitted: Array) -> FitResult:
    """Leaves the estimator and its graph too, so that members are converted beside each other; `fitted` bool [rows]."""
    import joblib

    from bankmlops.automl.export import convert
    from bankmlops.automl.fitting import fit

    started = time.perf_counter()
    estimator = fit(task, matrix, labels) if fitted.all() else fit(task, matrix[fitted], labels[fitted])
    path = estimator_path(folder, task)
    path.parent.mkdir(parents=True, exist_ok=True)
    joblib.dump(estimator, path)
    graph_path(folder, task).write_bytes(convert(estimator, task.algorithm, matrix.shape[1]).SerializeToString())
    probabilities = numpy.asarray(estimator.predict_proba(matrix), dtype=numpy.float64)
    return FitResult(time.perf_counter() - started, probabilities=probabilities)
