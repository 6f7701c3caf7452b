"""Chooses what the run answers with: the best single model or an ensemble, whichever has the best primary metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from bankmlops.automl.algorithms import STACK_ENSEMBLE, VOTING_ENSEMBLE
from bankmlops.automl.attempt import Contender
from bankmlops.automl.calibration import calibrate_out_of_fold, fit_calibration
from bankmlops.automl.ensemble import blend, select_weights
from bankmlops.automl.metrics import classification_metrics, error_of, log_loss, metric_of
from bankmlops.automl.results import Trial
from bankmlops.automl.stacking import MetaLearner, answer_out_of_fold, fit_meta_learner
from bankmlops.types import RunStatus

Array = numpy.ndarray[Any, Any]

MAXIMUM_CANDIDATES = 30
_JUDGED = {"accuracy": 200, "log_loss": 1}  # blends that are near the best; the others take 10 to 65 ms of 26,000 rows each
_JUDGED_BY_OTHERS = 10


@dataclass(frozen=True, slots=True)
class Choice:
    """A trial with what it is made of: contenders, the heaviest first, and their weights, which sum to 1.

    Where it has a `meta_learner`, that makes the answer of theirs, and the weights say only how they were chosen. A `calibration`
    makes it of their weighted mean.
    """

    trial: Trial
    members: tuple[Contender, ...]
    weights: tuple[float, ...]
    probabilities: Array
    meta_learner: MetaLearner | None = None
    calibration: MetaLearner | None = None

    def combine(self, answers: Sequence[Array]) -> Array:
        """float64 [rows, classes]: its answer, from those of its members."""
        if self.meta_learner:
            return self.meta_learner.answer(answers)
        mean = blend(answers, numpy.array(self.weights))
        return self.calibration.answer([mean]) if self.calibration else mean


@dataclass(frozen=True, slots=True)
class Judgement:
    """What choices are judged by: `labels` int [scored rows], their `folds` int [scored rows], and the primary metric's name.

    `positive` is the code of the class that the `_binary` metrics are of, where one was asked for.
    """

    labels: Array
    folds: Array
    metric: str
    positive: int | None = None


def choose_ensemble(contenders: Sequence[Contender], judgement: Judgement, iteration: int) -> Choice:
    """The VotingEnsemble of the best contenders, scored on held-out predictions."""
    candidates = sorted(contenders, key=lambda contender: contender.loss)[:MAXIMUM_CANDIDATES]

    def error(probabilities: Array) -> float:
        return error_of(judgement.metric, metric_of(judgement.metric, judgement.labels, probabilities))

    judged = _JUDGED.get(judgement.metric, _JUDGED_BY_OTHERS)
    weights = select_weights([candidate.probabilities for candidate in candidates], judgement.labels, error, judged)
    order = [index for index in numpy.argsort(-weights, kind="stable") if weights[index] > 0]
    return ensemble_of([candidates[index] for index in order], [weights[index] for index in order], judgement, iteration)


def or_the_best_alone(ensemble: Choice, contenders: Sequence[Contender], judgement: Judgement) -> Choice:
    """The VotingEnsemble, or where a single contender has a better primary metric one of that alone, which may be calibrated."""
    best = choose_winner(contenders, [ensemble], judgement.metric)
    return ensemble if best is ensemble else ensemble_of(best.members, [1.0], judgement, ensemble.trial.iteration)


def ensemble_of(members: Sequence[Contender], weights: Sequence[float], judgement: Judgement, iteration: int) -> Choice:
    """The VotingEnsemble of these members, whose weights are made to sum to 1; calibrated, where that lowers its log loss."""
    shares = numpy.array(weights) / sum(weights)
    mean = blend([member.probabilities for member in members], shares)
    calibrated = calibrate_out_of_fold(mean, judgement.labels, judgement.folds)
    calibration = None if calibrated is None else fit_calibration(mean, judgement.labels)
    probabilities = mean if calibrated is None or calibration is None else calibrated
    metrics = _metrics(mean, probabilities, judgement)
    trial = Trial(
        iteration=iteration,
        algorithm=VOTING_ENSEMBLE,
        status=RunStatus.COMPLETED,
        score=metrics[judgement.metric],
        metrics=metrics,
        parameters={
            "ensembled_algorithms": str([member.trial.algorithm for member in members]),
            "ensembled_iterations": str([member.trial.iteration for member in members]),
            "ensemble_weights": str([round(float(share), 6) for share in shares]),
            "calibration": _shown(calibration),
        },
        seconds=sum(member.trial.seconds for member in members),
    )
    return Choice(trial, tuple(members), tuple(float(share) for share in shares), probabilities, calibration=calibration)


def _metrics(mean: Array, calibrated: Array, judgement: Judgement) -> dict[str, float]:
    """Calibration keeps labels and order, so the other metrics are those of the mean: a fold's own function would mix orders."""
    metrics = classification_metrics(judgement.labels, mean, judgement.positive)
    return metrics | {"log_loss": log_loss(judgement.labels, calibrated)}


def _shown(calibration: MetaLearner | None) -> str:
    if calibration is None:
        return "none"
    coefficients = numpy.abs(calibration.coefficients)
    if len(coefficients) > 1:
        return f"temperature {1 / coefficients[0, 0]:.4f}"
    return f"beta, a {coefficients[0, 0]:.4f}, b {coefficients[0, 1]:.4f}"


def stack_of(voting: Choice, judgement: Judgement, iteration: int) -> Choice | None:
    """The StackEnsemble of the members of a VotingEnsemble, scored out of fold.

    None where the rows are too few for a meta learner: each fold's has to see every class.
    """
    answers, labels = [member.probabilities for member in voting.members], judgement.labels
    probabilities = answer_out_of_fold(answers, labels, judgement.folds)
    if probabilities is None:
        return None
    meta_learner = fit_meta_learner(answers, labels)
    metrics = classification_metrics(labels, probabilities, judgement.positive)
    trial = Trial(
        iteration=iteration,
        algorithm=STACK_ENSEMBLE,
        status=RunStatus.COMPLETED,
        score=metrics[judgement.metric],
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
    """The best by the primary metric, as `rank` has it: a single model goes before an ensemble that is no better."""
    singles = [Choice(contender.trial, (contender,), (1.0,), contender.probabilities) for contender in contenders]
    return min([*singles, *ensembles], key=lambda choice: rank(choice.trial, primary_metric))


def rank(trial: Trial, primary_metric: str) -> tuple[float, float, int]:
    """What a leaderboard is sorted by, the best first: the primary metric, of equals the log loss, and then who was earlier."""
    return error_of(primary_metric, trial.score), trial.metrics["log_loss"], trial.iteration
