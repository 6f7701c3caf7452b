"""When a search is over before its time: enough trials, a score that is good enough, or nothing better for long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy

from bankmlops.automl.attempt import Contender
from bankmlops.automl.ensemble import blend, select_weights
from bankmlops.automl.metrics import error_of, log_loss
from bankmlops.types import AutoMLConfig

Array = numpy.ndarray[Any, Any]

LANDMARK_TRIALS = 20  # the first ones never end a search: Azure's rule has as many
PATIENCE_TRIALS = 30
LOOK_EVERY = 10
LEAST_GAIN = 1e-3  # of the log loss, in PATIENCE_TRIALS trials: half of what another draw of the folds changes
_MAXIMUM_CANDIDATES = 30
_MAXIMUM_ROWS = 20_000


class Stopping:
    """Watches a search over `labels` int [scored rows]."""

    def __init__(self, config: AutoMLConfig, labels: Array) -> None:
        self._config = config
        self._every = -(-len(labels) // _MAXIMUM_ROWS)
        self._labels = labels[:: self._every]
        self._losses: list[float] = []  # after each LOOK_EVERY trials
        self._first: int | None = None

    def reason(self, contenders: Sequence[Contender], ended: int) -> str:
        """Why the search is over, or "" where it is not.

        `ended` counts all trials that ended, in whatever way; those of the first call, of a search that was resumed, don't count.
        """
        self._first = ended if self._first is None else self._first
        return self._score_reached(contenders) or self._nothing_better(contenders, ended - self._first)

    def _score_reached(self, contenders: Sequence[Contender]) -> str:
        wanted, metric = self._config.experiment_exit_score, self._config.primary_metric
        if wanted is None:
            return ""
        reached = any(error_of(metric, contender.trial.score) <= error_of(metric, wanted) for contender in contenders)
        return f"experiment_exit_score {wanted:g} is reached" if reached else ""

    def _nothing_better(self, contenders: Sequence[Contender], ended: int) -> str:
        """The greedy blend's log loss says whether trials bring something: it falls where a model or a mixture is better."""
        if not self._config.enable_early_stopping or not contenders:
            return ""
        if ended // LOOK_EVERY > len(self._losses):
            self._losses += [self._loss(contenders)] * (ended // LOOK_EVERY - len(self._losses))
        looks = PATIENCE_TRIALS // LOOK_EVERY
        if len(self._losses) < LANDMARK_TRIALS // LOOK_EVERY + looks:
            return ""
        if self._losses[-1 - looks] - self._losses[-1] > LEAST_GAIN * self._losses[-1 - looks]:
            return ""
        return f"{PATIENCE_TRIALS} trials in a row brought nothing better"

    def _loss(self, contenders: Sequence[Contender]) -> float:
        best = sorted(contenders, key=lambda contender: contender.loss)[:_MAXIMUM_CANDIDATES]
        if not (self._config.enable_voting_ensemble or self._config.enable_stack_ensemble):
            best = best[:1]
        candidates = [contender.probabilities[:: self._every] for contender in best]
        weights = select_weights(candidates, self._labels, lambda probabilities: log_loss(self._labels, probabilities))
        return log_loss(self._labels, blend(candidates, weights))
