"""The soft VotingEnsemble: greedy selection with replacement on held-out predictions.

Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble selection from libraries of models", ICML 2004. Selection is by log loss,
which unlike accuracy says of every row how good it is. Of the blends that it passes through, and those beside the best one, all
within a hair of it, the one with the best primary metric is taken: a metric as rough as accuracy picks no single model by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy

Array = numpy.ndarray[Any, Any]

MAXIMUM_STEPS = 40
TOLERANCE = 1e-3
LEAST_SHARE = 0.08
_SHARES = 0.05, 0.1, 0.2, 0.3, 0.5
SMALLEST_PROBABILITY = 1e-15


def select_weights(candidates: Sequence[Array], labels: Array, error: Callable[[Array], float], judged: int = 10) -> Array:
    """float64 [candidates]: weights that sum to 1, of a blend of `candidates` (each [rows, classes]).

    `error` is what the primary metric makes of blended probabilities, as something to make small; it is asked of the `judged`
    blends with the lowest log loss at most.
    """
    of_truth = numpy.stack([candidate[numpy.arange(len(labels)), labels] for candidate in candidates]).astype(numpy.float64)
    path = _greedy_path(of_truth)
    _, counts = min(path, key=lambda pair: pair[0])
    tried = [_pruned(weights) for weights in [*(each for _, each in path), *_neighbours(counts / counts.sum())]]
    found = [(_log_loss(of_truth.T @ weights), weights) for weights in tried]
    limit = min(loss for loss, _ in found) * (1 + TOLERANCE)
    near = sorted((pair for pair in found if pair[0] <= limit), key=lambda pair: pair[0])
    return min((weights for _, weights in near[:judged]), key=lambda each: error(blend(candidates, each)))


def _neighbours(weights: Array) -> list[Array]:
    """A blend with more of one of the candidates."""
    return [weights * (1 - share) + share * alone for alone in numpy.eye(len(weights)) for share in _SHARES]


def _pruned(weights: Array) -> Array:
    """Weights that sum to 1, without those too small for a fit on all rows and a place in every request."""
    shares = weights / weights.sum()
    shares[shares < min(LEAST_SHARE, shares.max())] = 0.0
    return numpy.asarray(shares / shares.sum())


def blend(candidates: Sequence[Array], weights: Array) -> Array:
    """The weighted mean of probabilities."""
    used = [index for index in range(len(candidates)) if weights[index] > 0]
    return numpy.asarray(sum(candidates[index].astype(numpy.float64) * weights[index] for index in used))


def _greedy_path(of_truth: Array) -> list[tuple[float, Array]]:
    """Each step's log loss and how often each candidate is in; `of_truth` float64 [candidates, rows] are of the true classes.

    Log loss looks at nothing else, so a step is one pass over them.
    """
    total = numpy.zeros(of_truth.shape[1])
    counts = numpy.zeros(len(of_truth))
    path = []
    for step in range(1, MAXIMUM_STEPS + 1):
        losses = [_log_loss((total + row) / step) for row in of_truth]
        chosen = int(numpy.argmin(losses))
        total += of_truth[chosen]
        counts[chosen] += 1
        path.append((losses[chosen], counts.copy()))
    return path


def _log_loss(of_truth: Array) -> float:
    return float(-numpy.log(numpy.maximum(of_truth, SMALLEST_PROBABILITY)).mean())
