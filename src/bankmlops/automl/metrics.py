"""Every classification metric that Azure's AutoML computes, under its name, from labels and probabilities.

Names and meanings: "Evaluate automated machine learning experiment results" in Azure ML's documentation. `norm_macro_recall` is
(recall_macro - R) / (1 - R) with R = 1 / classes; `weighted_accuracy` weighs each row by its class' size. The `_binary` ones are
of one class against the rest: of the second of two, and of one of more where that is asked for.
"""

from __future__ import annotations

from typing import Any

import numpy
from sklearn import metrics as sk

Array = numpy.ndarray[Any, Any]

LOSSES = frozenset({"log_loss"})
SMALLEST_PROBABILITY = 1e-15
_AVERAGES = ("macro", "micro", "weighted")
_AREAS = {"AUC": sk.roc_auc_score, "average_precision_score": sk.average_precision_score}


def classification_metrics(labels: Array, probabilities: Array, positive: int | None = None) -> dict[str, float]:
    """Metrics of `probabilities` [rows, classes] for `labels` [rows], int codes 0 to classes - 1; a class may be absent.

    `positive` is the code of the class that the `_binary` ones are of.
    """
    values = {
        **_of_predictions(labels, probabilities),
        **_of_ranks(labels, probabilities),
        "log_loss": log_loss(labels, probabilities),
    }
    if positive is None and probabilities.shape[1] == 2:
        positive = 1
    return values if positive is None else values | _binary(labels, probabilities, positive)


def metric_of(name: str, labels: Array, probabilities: Array) -> float:
    """One of `classification_metrics`, without the work that the others are."""
    if name == "accuracy":
        return float((labels == predicted_codes(probabilities)).mean())
    if name == "log_loss":
        return log_loss(labels, probabilities)
    area, _, average = name.rpartition("_")
    if area in _AREAS:
        return float(_AREAS[area](*_against_the_rest(labels, probabilities), average=average))
    return _of_predictions(labels, probabilities)[name]


def log_loss(labels: Array, probabilities: Array) -> float:
    """The mean of -log of the true class' probability, each row's probabilities made to sum to 1."""
    of_truth = probabilities[numpy.arange(len(labels)), labels].astype(numpy.float64) / probabilities.sum(axis=1)
    return float(-numpy.log(numpy.maximum(of_truth, SMALLEST_PROBABILITY)).mean())


def share_among_equals(truth: Array, probability: Array) -> Array:
    """float64 [rows]: of the rows with the same `probability` the share that `truth` says is of the class.

    In place of `truth` it has curves over rows sorted by probability not depend on the table's order, which may be by label.
    """
    _, places = numpy.unique(probability, return_inverse=True)
    return numpy.asarray((numpy.bincount(places, weights=truth) / numpy.bincount(places))[places])


def predicted_codes(probabilities: Array) -> Array:
    """int64 [rows]: the most probable class; for two classes the second from 0.5 on, as the scoring service decides."""
    if probabilities.shape[1] == 2:
        return (probabilities[:, 1] >= 0.5).astype(numpy.int64)
    return numpy.asarray(probabilities.argmax(axis=1))


def error_of(metric: str, value: float) -> float:
    """The value of a metric as something to make small."""
    return value if metric in LOSSES else -value


def _of_predictions(labels: Array, probabilities: Array) -> dict[str, float]:
    predicted, classes = predicted_codes(probabilities), probabilities.shape[1]
    values = {
        "accuracy": float((labels == predicted).mean()),
        "matthews_correlation": float(sk.matthews_corrcoef(labels, predicted)),
        "weighted_accuracy": _weighted_accuracy(labels, predicted),
    }
    codes = numpy.unique(labels)
    for average in _AVERAGES:
        precision, recall, f1, _ = sk.precision_recall_fscore_support(
            labels, predicted, labels=codes, average=average, zero_division=0.0
        )
        values[f"precision_score_{average}"] = float(precision)
        values[f"recall_score_{average}"] = float(recall)
        values[f"f1_score_{average}"] = float(f1)
    values["balanced_accuracy"] = values["recall_score_macro"]
    values["norm_macro_recall"] = (values["recall_score_macro"] - 1 / classes) / (1 - 1 / classes)
    return values


def _of_ranks(labels: Array, probabilities: Array) -> dict[str, float]:
    """Areas under the curves of each class against the rest."""
    truth, answers = _against_the_rest(labels, probabilities)
    averages = _AVERAGES if truth.size else ()
    return {
        f"{name}_{average}": float(area(truth, answers, average=average)) for average in averages for name, area in _AREAS.items()
    }


def _against_the_rest(labels: Array, probabilities: Array) -> tuple[Array, Array]:
    """Truth and answers [rows, classes]; a class that no row or every row has is left out."""
    truth = numpy.eye(probabilities.shape[1], dtype=numpy.int8)[labels]
    present = numpy.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0))
    return truth[:, present], probabilities[:, present]


def _binary(labels: Array, probabilities: Array, positive: int) -> dict[str, float]:
    """The class against the rest."""
    truth, predicted, answers = labels == positive, predicted_codes(probabilities) == positive, probabilities[:, positive]
    precision, recall, f1, _ = sk.precision_recall_fscore_support(truth, predicted, average="binary", zero_division=0.0)
    values = {"precision_score_binary": float(precision), "recall_score_binary": float(recall), "f1_score_binary": float(f1)}
    if truth.any() and not truth.all():
        values["AUC_binary"] = float(sk.roc_auc_score(truth, answers))
        values["average_precision_score_binary"] = float(sk.average_precision_score(truth, answers))
    return values


def _weighted_accuracy(labels: Array, predicted: Array) -> float:
    weights = numpy.bincount(labels)[labels]
    return float(((labels == predicted) * weights).sum() / weights.sum())
