"""Calibrates what wins, so that no label and no rank changes and the log loss falls.

Two classes: beta calibration (Kull, Silva Filho and Flach, AISTATS 2017) that goes through (0.5, 0.5), so that it keeps every
label. With two numbers a and b, logit q = a log(2p) - b log(2 (1 - p)): rising in p, where neither is negative. More classes: a
temperature (Guo, Pleiss, Sun and Weinberger, ICML 2017). Both are a logistic regression on logarithms with fixed coefficients,
so they are exported as a meta learner is. One is taken only where it lowers the loss of rows that it was not fitted on.

Where few rows are all answered right, the likeliest temperature is none at all: it is fitted to labels that are taken to be wrong
once in as many rows (Platt, "Probabilistic outputs for support vector machines", 1999, does so with two classes).
"""

from __future__ import annotations

from typing import Any

import numpy

from bankmlops.automl.stacking import MetaLearner, fixed_learner

Array = numpy.ndarray[Any, Any]

LOWEST, HIGHEST = 1e-6, 1 - 1e-6
LEAST_ROWS = 100  # for each number that is fitted
_TEMPERATURES = (0.2, 5.0)
_SMALLEST = 1e-15


def fit_calibration(probabilities: Array, labels: Array) -> MetaLearner | None:
    """Fit on held-out `probabilities` [rows, classes]; None where it would change the order of probabilities."""
    if probabilities.shape[1] == 2:
        return _beta(probabilities[:, 1].astype(numpy.float64), labels)
    return _temperature(probabilities.astype(numpy.float64), labels)


def calibrate_out_of_fold(probabilities: Array, labels: Array, folds: Array) -> Array | None:
    """float64 [rows, classes]: each fold's rows calibrated by what the others say; None where that brings nothing.

    It has to lower the log loss by more than the standard error of what it changes.
    """
    numbers = 2 if probabilities.shape[1] == 2 else 1
    if len(labels) < LEAST_ROWS * numbers:
        return None
    answers = numpy.empty(probabilities.shape)
    for fold in numpy.unique(folds):
        held_out = folds == fold
        if len(numpy.unique(labels[~held_out])) < 2:
            return None
        calibration = fit_calibration(probabilities[~held_out], labels[~held_out])
        if calibration is None:
            return None
        answers[held_out] = calibration.answer([probabilities[held_out]])
    gains = _losses(probabilities, labels) - _losses(answers, labels)
    return answers if gains.mean() > gains.std() / numpy.sqrt(len(gains)) else None


def _beta(positive: Array, labels: Array) -> MetaLearner | None:
    from sklearn.linear_model import LogisticRegression

    bounded = numpy.clip(positive, LOWEST, HIGHEST)
    logarithms = numpy.stack([numpy.log(2 * bounded), -numpy.log(2 * (1 - bounded))], axis=1)
    first, second = LogisticRegression(fit_intercept=False).fit(logarithms, labels).coef_[0]
    if first < 0 or second < 0 or first + second == 0:
        return None
    return beta(first, second)


def beta(first: float, second: float) -> MetaLearner:
    """The calibration of two classes with these numbers a and b."""
    intercept = (first - second) * numpy.log(2)
    return fixed_learner(numpy.array([[first, -second]]), numpy.array([intercept]), 2, LOWEST, HIGHEST)


def _temperature(probabilities: Array, labels: Array) -> MetaLearner | None:
    from scipy.optimize import minimize_scalar

    logarithms = numpy.log(numpy.clip(probabilities, LOWEST, HIGHEST))
    doubt = 1 / (len(labels) + 2)

    def loss(sharpness: float) -> float:
        scores = logarithms * sharpness
        scores -= scores.max(axis=1, keepdims=True)
        of_truth = scores[numpy.arange(len(labels)), labels] * (1 - doubt) + scores.mean(axis=1) * doubt
        return float((numpy.log(numpy.exp(scores).sum(axis=1)) - of_truth).mean())

    found = minimize_scalar(loss, bounds=_TEMPERATURES, method="bounded").x
    return temperature(found, probabilities.shape[1])


def temperature(sharpness: float, classes: int) -> MetaLearner:
    """The calibration of more classes that multiplies logarithms by the `sharpness`, one over the temperature."""
    return fixed_learner(numpy.eye(classes) * sharpness, numpy.zeros(classes), classes, LOWEST, HIGHEST)


def _losses(probabilities: Array, labels: Array) -> Array:
    of_truth = probabilities[numpy.arange(len(labels)), labels].astype(numpy.float64) / probabilities.sum(axis=1)
    return numpy.asarray(-numpy.log(numpy.maximum(of_truth, _SMALLEST)))
