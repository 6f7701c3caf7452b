"""Chooses what the run answers with: the best single model or an ensemble, whichever has the best primary metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from bankmlops.automl.algorithms import STACK_ENSEMBLE, VOTING_ENSEMBLE
from bankmlops.automl.attempt import Contender
from bankmlops.automl.ensemble import blend, select_weights
from bankmlops.automl.metrics import classification_metrics, error_of, metric_of
from bankmlops.automl.results import Trial
from bankmlops.automl.stacking import MetaLearner, answer_out_of_fold, fit_meta_learner
from bankmlops.types import RunStatus

Array = numpy.ndarray[Any, Any]

MAXIMUM_CANDIDATES = 30


@dataclass(frozen=True, slots=True)
class Choice:
    """A trial with what it is made of: contenders, the heaviest first, and their weights, which sum to 1.

    Where it has a `meta_learner`, that makes the answer of theirs, and the weights say only how they were chosen.
    """

    trial: Trial
    members: tuple[Contender, ...]
    weights: tuple[float, ...]
    probabilities: Array
    meta_learner: MetaLearner | None = None

    def combine(self, answers: Sequence[Array]) -> Array:
        """float64 [rows, classes]: its answer, from those of its members."""
        return self.meta_learner.answer(answers) if self.meta_learner else blend(answers, numpy.array(self.weights))


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


def stack_of(voting: Choice, labels: Array, folds: Array, primary_metric: str, iteration: int) -> Choice | None:
    """The StackEnsemble of the members of a VotingEnsemble, scored out of fold; `folds` int [rows] are those of the `labels`.

    None where the rows are too few for a meta learner: each fold's has to see every class.
    """
    answers = [member.probabilities for member in voting.members]
    probabilities = answer_out_of_fold(answers, labels, folds)
    if probabilities is None:
        return None
    meta_learner = fit_meta_learner(answers, labels)
    metrics = classification_metrics(labels, probabilities)
    trial = Trial(
        iteration=iteration,
        algorithm=STACK_ENSEMBLE,
        status=RunStatus.COMPLETED,
        score=metrics[primary_metric],
        metrics=metrics,
        parameters={
            "ensembled_algorithms": voting.trial.parameters["ensembled_algorithms"],
            "ensembled_iterations": voting.trial.parameters["ensembled_iterations"],
            "meta_learner_type": "LogisticRegression",
            "meta_learner_coefficients": str(meta_learner.coefficients.round(4).tolist()),
            "meta_learner_intercepts": str(meta_learner.intercepts.round(4).tolist()),
        },
        seconds=voting.trial.seconds,
    )
    return Choice(trial, voting.members, voting.weights, probabilities, meta_learner)


def choose_winner(contenders: Sequence[Contender], ensembles: Sequence[Choice], primary_metric: str) -> Choice:
    """The best by the primary metric; of equals the earlier one, so a single model goes before an ensemble that is no better."""
    singles = [Choice(contender.trial, (contender,), (1.0,), contender.probabilities) for contender in contenders]
    return min([*singles, *ensembles], key=lambda choice: (error_of(primary_metric, choice.trial.score), choice.trial.iteration))
