"""The model of a trial that did not win: fitted on all rows when somebody asks for it, from what the leaderboard says of it.

A run leaves its winner's model alone, as fits on all rows cost as much as the search. A trial's configuration stands on the
leaderboard, so its model can be had later, outside of the run's budget. An ensemble's meta learner and calibration are rebuilt
from the digits that the leaderboard shows of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from bankmlops.automl import calibration, pipeline
from bankmlops.automl.algorithms import STACK_ENSEMBLE, VOTING_ENSEMBLE, algorithm_named
from bankmlops.automl.folds import IN_NO_FIT
from bankmlops.automl.stacking import MetaLearner, fixed_learner
from bankmlops.automl.table import Table
from bankmlops.automl.tasks import ALL_ROWS, FitTask
from bankmlops.errors import InvalidRequestError, NotFoundError

_NUMBER = r"(\d+(?:\.\d+)?)"
_BETA = re.compile(f"beta, a {_NUMBER}, b {_NUMBER}")
_TEMPERATURE = re.compile(f"temperature {_NUMBER}")


@dataclass(frozen=True, slots=True)
class Configuration:
    """A completed trial as the leaderboard has it; `parameters` are those of `automl.results.Trial`."""

    iteration: int
    algorithm: str
    parameters: Mapping[str, str]


def fit_trial(table: Table, iteration: int, trials: Sequence[Configuration], seed: int) -> Any:
    """The trial's scikit-learn pipeline over a data frame, with one fit on all rows of each learner that it has.

    `trials` hold it and, where it is an ensemble, its members. Raises `NotFoundError` for one that is not among them,
    `InvalidRequestError` where its words are not understood.
    """
    known = {trial.iteration: trial for trial in trials}
    if iteration not in known:
        raise NotFoundError(f"the leaderboard has no trial {iteration}")
    trial = known[iteration]
    classifier = _ensemble(table, trial, known, seed) if trial.algorithm in _ENSEMBLES else _single(table, trial, seed)
    return pipeline.build_pipeline(table.specification, pipeline.step_name(trial.algorithm), classifier)


_ENSEMBLES = (VOTING_ENSEMBLE, STACK_ENSEMBLE)


def _single(table: Table, trial: Configuration, seed: int) -> Any:
    return pipeline.voting_classifier([trial.algorithm], [_fit(table, trial, seed)], [1.0], table.classes)


def _ensemble(table: Table, trial: Configuration, known: Mapping[int, Configuration], seed: int) -> Any:
    numbers = _numbers(trial, "ensembled_iterations")
    missing = [number for number in numbers if number not in known]
    if missing:
        raise NotFoundError(f"trial {trial.iteration} is an ensemble of trial {missing[0]:g}, which the leaderboard lacks")
    members = [known[int(number)] for number in numbers]
    names, fits = [member.algorithm for member in members], [_fit(table, member, seed) for member in members]
    classes = table.classes
    if trial.algorithm == STACK_ENSEMBLE:
        return pipeline.stacking_classifier(names, fits, _meta_learner(trial, len(members), len(classes)).classifier, classes)
    weights, learner = _numbers(trial, "ensemble_weights"), _calibration(trial, len(classes))
    if learner is None:
        return pipeline.voting_classifier(names, fits, weights, classes)
    voting = pipeline.voting_classifier(names, fits, weights, range(len(classes)))
    return pipeline.stacking_classifier(["blend"], [voting], learner.classifier, classes)


def _fit(table: Table, trial: Configuration, seed: int) -> Any:
    """On all rows but those of a validation dataset; a boosted learner grows as many more rounds as there are more rows."""
    from bankmlops.automl.fitting import fit

    algorithm, shown = algorithm_named(trial.algorithm), {name: float(value) for name, value in trial.parameters.items()}
    parameters = algorithm.settle(shown)
    if algorithm.rounds and not algorithm.boosted:
        parameters[algorithm.rounds] = shown[algorithm.rounds]
    elif algorithm.boosted:
        parameters["n_estimators"] = max(round(shown["n_estimators"] * table.fold_count / (table.fold_count - 1)), 1)
    rows = table.folds != IN_NO_FIT
    task = FitTask(f"trial-{trial.iteration}", trial.algorithm, parameters, ALL_ROWS, seed)
    return fit(task, table.matrix[rows], table.labels[rows])


def _numbers(trial: Configuration, name: str) -> list[float]:
    try:
        return [float(value) for value in json.loads(trial.parameters[name])]
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidRequestError(f"trial {trial.iteration}: {name} is not understood") from error


def _meta_learner(trial: Configuration, members: int, classes: int) -> MetaLearner:
    coefficients = numpy.array(json.loads(trial.parameters["meta_learner_coefficients"]))
    intercepts = numpy.array(json.loads(trial.parameters["meta_learner_intercepts"]))
    return fixed_learner(coefficients, intercepts, classes, members=members)


def _calibration(trial: Configuration, classes: int) -> MetaLearner | None:
    words = trial.parameters.get("calibration", "none")
    if found := _BETA.fullmatch(words):
        return calibration.beta(float(found[1]), float(found[2]))
    if found := _TEMPERATURE.fullmatch(words):
        return calibration.temperature(1 / float(found[1]), classes)
    if words == "none":
        return None
    raise InvalidRequestError(f"trial {trial.iteration}: calibration {words!r} is not understood")
