"""Prequential scores: what each policy had answered before it saw a row's label, judged when the label arrived."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

Array = numpy.ndarray[Any, Any]

CHAMPION, PERIODIC, CHALLENGER = POLICIES = ("champion", "periodic", "challenger")
SMALLEST_PROBABILITY = 1e-6
LEAST_ROWS = 100  # fewer rows' losses are too uneven for the interval to hold
_TWO_SIDED = 0.9  # the interval of 90 % whose lower end is that of a one-sided one of 95 %


@dataclass(frozen=True, slots=True)
class PolicyScore:
    """One policy over all scored rows, with Azure's names for the metrics."""

    policy: str
    rows: int
    log_loss: float
    accuracy: float
    AUC_weighted: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """By how much the challenger's log loss was below the champion's over the newest `rows` labels.

    `at_least` is the lower end of the difference's one-sided confidence interval of 95 %; what is above 0 on `LEAST_ROWS` or more
    was no chance.
    """

    rows: int
    champion: float
    challenger: float
    difference: float
    at_least: float

    @property
    def is_better(self) -> bool:
        """Whether the challenger may take over."""
        return self.rows >= LEAST_ROWS and self.at_least > 0


def losses(labels: Array, probabilities: Array) -> Array:
    """float64 [rows]: -log of the probability that the true class had; `labels` 0 or 1, `probabilities` of the second class."""
    clipped = numpy.clip(probabilities, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return numpy.asarray(-numpy.log(numpy.where(labels == 1, clipped, 1 - clipped)))


def score(policy: str, labels: Array, probabilities: Array) -> PolicyScore:
    """The scores of one policy; NaN where there is nothing to score."""
    from bankmlops.automl.metrics import metric_of

    if not len(labels):
        return PolicyScore(policy, 0, math.nan, math.nan, math.nan)
    ranks = metric_of("AUC_weighted", labels, _both(probabilities)) if len(numpy.unique(labels)) == 2 else math.nan
    accuracy = float(((probabilities >= 0.5) == labels).mean())
    return PolicyScore(policy, len(labels), float(losses(labels, probabilities).mean()), accuracy, ranks)


def compare(labels: Array, champion: Array, challenger: Array) -> Comparison:
    """Compare two policies on the same rows; the rows count as independent."""
    from bankmlops.automl.comparison import compare as compare_models

    if not len(labels):
        return Comparison(0, math.nan, math.nan, 0.0, -math.inf)
    before, after = _both(champion), _both(challenger)
    found = compare_models(labels, after, before, "log_loss", _TWO_SIDED)
    return Comparison(found.rows, found.champion, found.challenger, found.difference, found.low)


def _both(second: Array) -> Array:
    """Probabilities [rows, 2] from those of the second class, none of them so small that one row decides."""
    clipped = numpy.clip(second, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return numpy.stack([1 - clipped, clipped], axis=1)


def curves(labels: Array, predictions: Array, window: int) -> Mapping[str, tuple[tuple[int, float], ...]]:
    """By metric and policy, points of (rows scored, value over the newest `window` of these); `predictions` [policies, rows].

    There are 100 points at most.
    """
    ends = _ends(len(labels), window)
    found: dict[str, tuple[tuple[int, float], ...]] = {}
    for policy, answers in zip(POLICIES, predictions, strict=True):
        sums = numpy.concatenate([[0.0], numpy.cumsum(losses(labels, answers))])
        right = numpy.concatenate([[0.0], numpy.cumsum((answers >= 0.5) == labels)])
        for name, total in (("log_loss", sums), ("accuracy", right)):
            found[f"prequential_{name}_{policy}"] = tuple(
                (end, float(total[end] - total[begin]) / (end - begin)) for begin, end in ends
            )
    return found


def _ends(rows: int, window: int) -> Sequence[tuple[int, int]]:
    step = max(math.ceil(rows / 100), 1)
    return [(max(end - window, 0), end) for end in range(min(window, rows), rows + 1, step) if end]
