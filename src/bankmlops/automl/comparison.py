"""Whether one model is better than another beyond noise: both answered the same rows, so their difference is judged row by row.

The interval is that of a paired comparison. Log loss and accuracy are means over rows, so their difference has the standard error
of a mean of differences; any other metric's is estimated by drawing the rows anew, the same for both (the paired bootstrap of
Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy

from bankmlops.automl.metrics import LOSSES, SMALLEST_PROBABILITY, error_of, metric_of, predicted_codes

Array = numpy.ndarray[Any, Any]

_DRAWS = 200
_SEED = 7


@dataclass(frozen=True, slots=True)
class Comparison:
    """Scores of both on `rows` rows, and by how much the challenger is better, with the interval that this lies in.

    `difference`, `low` and `high` are above 0 where the challenger is better, also for a loss.
    """

    metric: str
    challenger: float
    champion: float
    difference: float
    low: float
    high: float
    rows: int

    @property
    def is_better(self) -> bool:
        """Whether the whole interval speaks for the challenger."""
        return self.low > 0


def compare(labels: Array, challenger: Array, champion: Array, metric: str, confidence: float) -> Comparison:
    """Compare probabilities [rows, classes] for `labels` [rows], int codes; `confidence` is that of the two-sided interval."""
    scores = metric_of(metric, labels, challenger), metric_of(metric, labels, champion)
    difference = error_of(metric, scores[1]) - error_of(metric, scores[0])
    deviation = _deviation(labels, challenger, champion, metric)
    reach = NormalDist().inv_cdf(0.5 + confidence / 2) * deviation
    return Comparison(metric, *scores, difference, difference - reach, difference + reach, len(labels))


def _deviation(labels: Array, challenger: Array, champion: Array, metric: str) -> float:
    """The standard error of the difference."""
    if metric in (*LOSSES, "accuracy"):
        row = _losses if metric in LOSSES else _errors
        differences = row(labels, champion) - row(labels, challenger)
        return float(differences.std(ddof=1) / numpy.sqrt(len(labels))) if len(labels) > 1 else float("inf")
    generator = numpy.random.default_rng(_SEED)
    drawn = [_drawn(labels, challenger, champion, metric, generator) for _ in range(_DRAWS)]
    return float(numpy.std(drawn, ddof=1))


def _drawn(labels: Array, challenger: Array, champion: Array, metric: str, generator: numpy.random.Generator) -> float:
    rows = generator.integers(0, len(labels), len(labels))
    truth = labels[rows]
    return metric_of(metric, truth, challenger[rows]) - metric_of(metric, truth, champion[rows])


def _losses(labels: Array, probabilities: Array) -> Array:
    of_truth = probabilities[numpy.arange(len(labels)), labels].astype(numpy.float64) / probabilities.sum(axis=1)
    return numpy.asarray(-numpy.log(numpy.maximum(of_truth, SMALLEST_PROBABILITY)))


def _errors(labels: Array, probabilities: Array) -> Array:
    return numpy.asarray(labels != predicted_codes(probabilities), dtype=numpy.float64)
