"""Chooses what the run answers with: the best single model, or the VotingEnsemble, whichever has the better primary metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from bankmlops.automl.algorithms import VOTING_ENSEMBLE
from bankmlops.automl.ensemble import blend, select_weights
from bankmlops.automl.metrics import classification_metrics, error_of, metric_of
from bankmlops.automl.results import Trial
from bankmlops.automl.search import Contender
from bankmlops.types import RunStatus

Array = numpy.ndarray[Any, Any]

MAXIMUM_CANDIDATES = 30


@dataclass(frozen=True, slots=True)
class Choice:
    """A trial with what it is made of: contenders, the heaviest first, and their weights, which sum to 1."""

    trial: Trial
    members: tuple[Contender, ...]
    weights: tuple[float, ...]
    probabilities: Array


def choose_ensemble(contenders: Sequence[Contender], labels: Array, primary_metric: str, iteration: int) -> Choice:
    """The VotingEnsemble of the best contenders, scored on held-out predictions."""
    candidates = sorted(contenders, key=lambda contender: contender.loss)[:MAXIMUM_CANDIDATES]

    def error(probabilities: Array) -> float:
        return error_of(primary_metric, metric_of(primary_metric, labels, probabilities))

    weights = select_weights([candidate.probabilities for candidate in candidates], labels, error)
    order = [index for index in numpy.argsort(-weights, kind="stable") if weights[index] > 0]
    return ensemble_of(
        [candidates[index] for index in order], [weights[index] for index in order], labels, primary_metric, iteration
    )


def ensemble_of(
    members: Sequence[Contender], weights: Sequence[float], labels: Array, primary_metric: str, iteration: int
) -> Choice:
    """The VotingEnsemble of these members, whose weights are made to sum to 1."""
    shares = numpy.array(weights) / sum(weights)
    probabilities = blend([member.probabilities for member in members], shares)
    metrics = classification_metrics(labels, probabilities)
    trial = Trial(
        iteration=iteration,
        algorithm=VOTING_ENSEMBLE,
        status=RunStatus.COMPLETED,
        score=metrics[primary_metric],
        metrics=metrics,
        parameters={
            "ensembled_algorithms": str([member.trial.algorithm for member in members]),
            "ensembled_iterations": str([member.trial.iteration for member in members]),
            "ensemble_weights": str([round(float(share), 6) for share in shares]),
        },
        seconds=sum(member.trial.seconds for member in members),
    )
    return Choice(trial, tuple(members), tuple(float(share) for share in shares), probabilities)


def choose_winner(contenders: Sequence[Contender], ensemble: Choice | None, primary_metric: str) -> Choice:
    """The best by the primary metric; of equals the earlier one, so a single model goes before an ensemble that is no better."""
    singles = [Choice(contender.trial, (contender,), (1.0,), contender.probabilities) for contender in contenders]
    choices = [*singles, *([ensemble] if ensemble else [])]
    return min(choices, key=lambda choice: (error_of(primary_metric, choice.trial.score), choice.trial.iteration))
