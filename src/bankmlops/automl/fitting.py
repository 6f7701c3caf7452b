"""Fits a learner in a trial process: boosting stops when the held-out loss does, or when its time is over."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy

from bankmlops.automl.algorithms import NETWORK, algorithm_named
from bankmlops.automl.devices import parameters_on
from bankmlops.automl.lightgbm_library import load_lightgbm
from bankmlops.automl.tasks import FitTask

Array = numpy.ndarray[Any, Any]

_PATIENCE = 2.4  # rounds, times the learning rate: 30 of them at 0.08
_PATIENCE_ROUNDS = 20, 60
SMALLEST_PROBABILITY = 1e-7


class Fitted(NamedTuple):
    """`probabilities` float32 [held-out rows, classes], and how many rounds were kept by a learner that has such (0: others)."""

    probabilities: Array
    rounds: int
    stopped_by_time: bool


def fit(task: FitTask, matrix: Array, labels: Array) -> Any:
    """The fitted estimator, of public classes, on every row given; boosting and training end early where its seconds are over."""
    estimator = _unfitted(task)
    clock = _Clock(task.seconds)
    if task.algorithm == "LightGBM":
        estimator.fit(matrix, labels, callbacks=[_lightgbm_stop(clock)])
    elif task.algorithm == "XGBoostClassifier":
        estimator.set_params(callbacks=[_xgboost_stop(clock)])
        estimator.fit(matrix, labels, verbose=False)
        estimator.set_params(callbacks=None)
    elif task.algorithm == NETWORK.name:
        return estimator.fit(matrix, labels, is_over=clock.is_over).classifier_
    else:
        estimator.fit(matrix, labels)
    return estimator


def fit_and_score(task: FitTask, matrix: Array, labels: Array, held_out: Array, held_out_labels: Array, classes: int) -> Fitted:
    """Fit on `matrix` and `labels`, and answer the probabilities of the `held_out` rows."""
    if task.algorithm == "LightGBM":
        estimator, rounds, stopped = _fit_lightgbm(task, matrix, labels, held_out, held_out_labels)
    elif task.algorithm == "XGBoostClassifier":
        estimator, rounds, stopped = _fit_xgboost(task, matrix, labels, held_out, held_out_labels)
    elif task.algorithm == NETWORK.name:
        estimator, rounds, stopped = _fit_network(task, matrix, labels, held_out, held_out_labels)
    else:
        estimator, rounds, stopped = fit(task, matrix, labels), 0, False
    found = estimator.predict_proba(held_out)
    return Fitted(_for_all_classes(found, estimator.classes_, classes), rounds, stopped)


def _patience(task: FitTask) -> int:
    """How many rounds boosting goes on without a lower held-out loss: small steps need more of them to get anywhere."""
    least, most = _PATIENCE_ROUNDS
    return min(max(round(_PATIENCE / task.parameters["learning_rate"]), least), most)


def _unfitted(task: FitTask) -> Any:
    estimator = algorithm_named(task.algorithm).build(task.parameters, task.seed, task.threads)
    on_device = parameters_on(task.device, task.algorithm)
    return estimator.set_params(**on_device) if on_device else estimator


def _for_all_classes(found: Array, codes: Array, classes: int) -> Array:
    """A class that the training rows lack has the smallest probability."""
    full = numpy.full((len(found), classes), SMALLEST_PROBABILITY, dtype=numpy.float64)
    full[:, numpy.asarray(codes, dtype=numpy.int64)] = numpy.clip(found, SMALLEST_PROBABILITY, 1.0)
    full /= full.sum(axis=1, keepdims=True)
    return full.astype(numpy.float32)


def _fit_lightgbm(task: FitTask, matrix: Array, labels: Array, held_out: Array, held_out_labels: Array) -> tuple[Any, int, bool]:
    lightgbm = load_lightgbm()

    clock = _Clock(task.seconds)
    estimator = _unfitted(task)
    patience = lightgbm.early_stopping(_patience(task), verbose=False)
    estimator.fit(matrix, labels, eval_set=[(held_out, held_out_labels)], callbacks=[patience, _lightgbm_stop(clock)])
    return estimator, int(estimator.best_iteration_ or estimator.n_estimators_), clock.struck


def _fit_xgboost(task: FitTask, matrix: Array, labels: Array, held_out: Array, held_out_labels: Array) -> tuple[Any, int, bool]:
    clock = _Clock(task.seconds)
    estimator = _unfitted(task)
    estimator.set_params(early_stopping_rounds=_patience(task), callbacks=[_xgboost_stop(clock)])
    estimator.fit(matrix, labels, eval_set=[(held_out, held_out_labels)], verbose=False)
    rounds = estimator.get_booster().attributes().get("best_iteration", 0)  # missing where the first round was the last
    return estimator, int(rounds) + 1, clock.struck


def _fit_network(task: FitTask, matrix: Array, labels: Array, held_out: Array, held_out_labels: Array) -> tuple[Any, int, bool]:
    clock = _Clock(task.seconds)
    estimator = _unfitted(task).fit(matrix, labels, eval_set=(held_out, held_out_labels), is_over=clock.is_over)
    return estimator, estimator.epochs_, clock.struck


class _Clock:
    """Whether a time is over, and whether that was ever said."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds if seconds else float("inf")
        self.struck = False

    def is_over(self) -> bool:
        self.struck = self.struck or time.monotonic() > self._deadline
        return self.struck


def _lightgbm_stop(clock: _Clock) -> Any:
    lightgbm = load_lightgbm()

    def stop_in_time(environment: Any) -> None:
        if clock.is_over():
            raise lightgbm.callback.EarlyStopException(environment.iteration, environment.evaluation_result_list or [])

    return stop_in_time


def _xgboost_stop(clock: _Clock) -> Any:
    import xgboost

    class StopInTime(xgboost.callback.TrainingCallback):  # type: ignore[misc]
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002
            return clock.is_over()

    return StopInTime()
