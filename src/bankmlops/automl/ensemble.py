"""The soft VotingEnsemble: greedy selection with replacement on held-out predictions.

Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble selection from libraries of models", ICML 2004. Selection is by log loss,
which unlike accuracy says of every row how good it is. Of the blends that it passes through, those within a hair of the best, the
one with the best primary metric is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy

Array = numpy.ndarray[Any, Any]

MAXIMUM_STEPS = 40
TOLERANCE = 5e-4
SMALLEST_PROBABILITY = 1e-15


def select_weights(candidates: Sequence[Array], labels: Array, error: Callable[[Array], float]) -> Array:
    """float64 [candidates]: weights that sum to 1, of a blend of `candidates` (each [rows, classes]).

    `error` is what the primary metric makes of blended probabilities, as something to make small.
    """
    path = _greedy_path([candidate[numpy.arange(len(labels)), labels] for candidate in candidates])
    best = min(loss for loss, _ in path)
    close = [counts for loss, counts in path if loss <= best * (1 + TOLERANCE)]
    weights = [counts / counts.sum() for counts in close]
    return min(weights, key=lambda each: error(blend(candidates, each)))


def blend(candidates: Sequence[Array], weights: Array) -> Array:
    """The weighted mean of probabilities."""
    used = [index for index in range(len(candidates)) if weights[index] > 0]
    return numpy.asarray(sum(candidates[index].astype(numpy.float64) * weights[index] for index in used))


def _greedy_path(of_truth: Sequence[Array]) -> list[tuple[float, Array]]:
    """Each step's log loss and how often each candidate is in; `of_truth` are the probabilities of the true classes, [rows] each.

    Log loss looks at nothing else, so a step is one pass over them.
    """
    stacked = numpy.stack(of_truth).astype(numpy.float64)
    total = numpy.zeros(stacked.shape[1])
    counts = numpy.zeros(len(stacked))
    path = []
    for step in range(1, MAXIMUM_STEPS + 1):
        losses = [_log_loss((total + row) / step) for row in stacked]
        chosen = int(numpy.argmin(losses))
        total += stacked[chosen]
        counts[chosen] += 1
        path.append((losses[chosen], counts.copy()))
    return path


def _log_loss(of_truth: Array) -> float:
    return float(-numpy.log(numpy.maximum(of_truth, SMALLEST_PROBABILITY)).mean())
