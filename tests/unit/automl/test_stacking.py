"""The meta learner and the StackEnsemble: what they make of members' answers, and that no row judges itself."""

from __future__ import annotations

import json
from typing import Any

import numpy
import pytest

from bankmlops.automl.algorithms import algorithm_named
from bankmlops.automl.attempt import Contender
from bankmlops.automl.folds import assign_folds
from bankmlops.automl.metrics import log_loss
from bankmlops.automl.proposals import Proposal
from bankmlops.automl.results import Trial
from bankmlops.automl.stacking import answer_out_of_fold, fit_meta_learner
from bankmlops.automl.winner import Judgement, choose_winner, ensemble_of, stack_of
from bankmlops.types import RunStatus

Array = numpy.ndarray[Any, Any]

ROWS = 3000


def _labels(classes: int) -> Array:
    return numpy.random.default_rng(0).integers(0, classes, ROWS)


def _answers(labels: Array, classes: int, sharpness: float, seed: int) -> Array:
    """Probabilities that are right but for their sharpness: 1 is calibrated."""
    score = numpy.eye(classes)[labels] + numpy.random.default_rng(seed).normal(size=(len(labels), classes))
    score = numpy.exp(score * sharpness)
    return (score / score.sum(axis=1, keepdims=True)).astype(numpy.float32)


def _contender(number: int, answers: Array, labels: Array) -> Contender:
    loss = log_loss(labels, answers)
    trial = Trial(number, "LightGBM", RunStatus.COMPLETED, loss, {"log_loss": loss}, {}, 1.0)
    return Contender(trial, Proposal(number, algorithm_named("LightGBM"), {}, is_start=True), answers, loss, 10, 0.1)


@pytest.mark.parametrize("classes", [2, 4])
def test_it_calibrates_members_that_are_too_sure(classes: int) -> None:
    """Out of fold, members that exaggerate are answered with a lower log loss than the best of them, in rows that sum to 1."""
    labels = _labels(classes)
    members = [_answers(labels, classes, 3.0, seed) for seed in (1, 2)]
    answers = answer_out_of_fold(members, labels, assign_folds(labels, 5, 0))
    assert answers is not None
    assert answers.sum(axis=1) == pytest.approx(numpy.ones(ROWS))
    assert log_loss(labels, answers) < min(log_loss(labels, member) for member in members) * 0.9


def test_no_row_judges_itself() -> None:
    """A fold's answers are the same whatever the labels of that fold are."""
    labels = _labels(2)
    folds = assign_folds(labels, 3, 0)
    members = [_answers(labels, 2, 2.0, 1)]
    other = numpy.where(folds == 1, 1 - labels, labels)
    first, second = (answer_out_of_fold(members, truth, folds) for truth in (labels, other))
    assert first is not None
    assert second is not None
    assert (first[folds == 1] == second[folds == 1]).all()
    assert (first[folds == 0] != second[folds == 0]).any()


def test_certain_members_are_bounded() -> None:
    """Members that say 0 and 1 are answered with finite probabilities."""
    labels = _labels(2)
    members = [numpy.eye(2, dtype=numpy.float32)[labels]]
    answers = fit_meta_learner(members, labels).answer(members)
    assert numpy.isfinite(answers).all()
    assert (answers.argmax(axis=1) == labels).all()


def test_the_blend_shows_what_it_is_made_of() -> None:
    """A VotingEnsemble names its members, and their weights, which sum to 1."""
    labels = _labels(2)
    contenders = [_contender(number, _answers(labels, 2, 3.0, number), labels) for number in range(3)]
    voting = ensemble_of(contenders, [3, 2, 1], Judgement(labels, assign_folds(labels, 5, 0), "log_loss"), 3)
    shown = {name: json.loads(voting.trial.parameters[f"ensemble{name}"]) for name in ("d_iterations", "_weights")}
    assert shown == {"d_iterations": [0, 1, 2], "_weights": [0.5, 0.333333, 0.166667]}
    assert sum(voting.weights) == pytest.approx(1.0)


def test_the_stack_shows_what_it_is_made_of() -> None:
    """A StackEnsemble names its members, its meta learner and the coefficients, and wins where the primary metric says so."""
    labels = _labels(2)
    judgement = Judgement(labels, assign_folds(labels, 5, 0), "log_loss")
    contenders = [_contender(number, _answers(labels, 2, 3.0, number), labels) for number in range(3)]
    voting = ensemble_of(contenders, [0.5, 0.3, 0.2], judgement, 3)
    stack = stack_of(voting, judgement, 4)
    assert stack is not None
    assert stack.trial.parameters["ensembled_iterations"] == "[0, 1, 2]"
    assert stack.trial.parameters["meta_learner_type"] == "LogisticRegression"
    assert stack.trial.parameters["meta_learner_coefficients"].count(",") == 5
    assert stack.trial.score < voting.trial.score
    assert choose_winner(contenders, [voting, stack], "log_loss") is stack
    answers = [contender.probabilities for contender in contenders]
    assert log_loss(labels, stack.combine(answers)) <= log_loss(labels, voting.combine(answers))


def test_no_stack_without_every_class() -> None:
    """Where a fold's meta learner would not see every class there is no StackEnsemble."""
    labels = numpy.array([0] * 50 + [1])
    judgement = Judgement(labels, numpy.arange(51) % 2, "log_loss")
    voting = ensemble_of([_contender(0, _answers(labels, 2, 1.0, 0), labels)], [1.0], judgement, 1)
    assert stack_of(voting, judgement, 2) is None
