"""A configuration in work, and what becomes of it: a contender for the leaderboard, or a trial that was given up."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import numpy

from bankmlops.automl.metrics import classification_metrics
from bankmlops.automl.proposals import Proposal
from bankmlops.automl.results import Trial
from bankmlops.automl.table import Table
from bankmlops.automl.tasks import FitResult
from bankmlops.types import RunStatus

Array = numpy.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Contender:
    """A completed trial with what an ensemble and a refit need.

    `probabilities` float32 [scored rows, classes] are what each row got while it was held out; `rounds` are 0 where it has none.
    """

    trial: Trial
    proposal: Proposal
    probabilities: Array
    loss: float
    rounds: int
    fold_seconds: float


@dataclass
class Attempt:
    """A configuration in work; `asked` is how many of its folds were asked for."""

    proposal: Proposal
    seconds_a_fold: float
    results: dict[int, FitResult] = field(default_factory=dict)
    losses: dict[int, float] = field(default_factory=dict)
    asked: int = 0
    over: bool = False
    _began: float = math.inf

    def began(self) -> None:
        """A fold of it was begun; the first one starts its clock."""
        self._began = min(self._began, time.monotonic())

    @property
    def age(self) -> float:
        """Seconds since its first fold was begun."""
        return time.monotonic() - self._began

    @property
    def seconds(self) -> float:
        """The time of all its fits together."""
        return sum(result.seconds for result in self.results.values())

    @property
    def loss(self) -> float:
        """The mean log loss of the folds that have ended."""
        return float(numpy.mean([self.losses[fold] for fold in sorted(self.losses)]))


def ratio(attempt: Attempt, best: Attempt) -> float:
    """The attempt's loss over that of a completed one, on the folds that it has."""
    return sum(attempt.losses.values()) / max(sum(best.losses[fold] for fold in attempt.losses), 1e-12)


def contender_of(attempt: Attempt, table: Table, primary_metric: str) -> Contender:
    """The completed attempt as it stands on the leaderboard."""
    probabilities = _held_out(attempt, table)
    metrics = classification_metrics(table.scored_labels, probabilities, table.positive)
    rounds = round(numpy.mean([result.rounds for result in attempt.results.values()]))
    trial = Trial(
        iteration=attempt.proposal.number,
        algorithm=attempt.proposal.algorithm.name,
        status=RunStatus.COMPLETED,
        score=metrics[primary_metric],
        metrics=metrics,
        parameters=_shown(attempt.proposal, rounds),
        seconds=attempt.seconds,
    )
    longest = max(result.seconds for result in attempt.results.values())
    return Contender(trial, attempt.proposal, probabilities, attempt.loss, rounds, longest)


def given_up(attempt: Attempt, status: RunStatus, reason: str) -> Trial:
    """The trial of an attempt that was not brought to its end."""
    proposal = attempt.proposal
    shown = _shown(proposal, 0)
    return Trial(proposal.number, proposal.algorithm.name, status, math.nan, {}, shown, attempt.seconds, error=reason)


def _held_out(attempt: Attempt, table: Table) -> Array:
    """float32 [scored rows, classes], each row's from the fit that did not have it."""
    folds = table.folds[table.scored]
    probabilities = numpy.empty((len(folds), len(table.specification.classes)), dtype=numpy.float32)
    for fold, result in attempt.results.items():
        probabilities[folds == fold] = result.probabilities
    return probabilities


def _shown(proposal: Proposal, rounds: int) -> dict[str, str]:
    parameters = dict(proposal.parameters)
    if proposal.algorithm.rounds and rounds:
        parameters[proposal.algorithm.rounds] = rounds
    return {name: f"{value:g}" for name, value in parameters.items()}
