"""The model of a trial that did not win, made from its line of the leaderboard."""

from __future__ import annotations

from typing import Any

import numpy
import pandas
import pytest

from bankmlops.automl.calibration import fit_calibration
from bankmlops.automl.fitting import fit
from bankmlops.automl.stacking import fit_meta_learner
from bankmlops.automl.table import Table, prepare
from bankmlops.automl.tasks import ALL_ROWS, FitTask
from bankmlops.automl.trial_model import Configuration, fit_trial
from bankmlops.errors import InvalidRequestError, NotFoundError
from unit.automl.tables import columns, config

Array = numpy.ndarray[Any, Any]

LOGISTIC = Configuration(3, "LogisticRegression", {"C": "0.1"})
FOREST = Configuration(5, "RandomForest", {"n_estimators": "40", "max_depth": "6", "max_features": "1", "min_samples_leaf": "8"})
SEED = 42


@pytest.fixture(scope="module", params=[2, 3], ids=["two classes", "three classes"])
def table(request: pytest.FixtureRequest) -> Table:
    table = columns(400, request.param)
    return prepare(table, config(table, n_cross_validations=4))


def _frame(table: Table) -> pandas.DataFrame:
    return pandas.DataFrame({name: values for name, values in table.columns.items() if name != "y"})


def _answers(table: Table, iteration: int, *trials: Configuration) -> Array:
    return numpy.asarray(fit_trial(table, iteration, trials, SEED).predict_proba(_frame(table)))


def _alone(table: Table, algorithm: str, parameters: dict[str, float]) -> Array:
    estimator = fit(FitTask("alone", algorithm, parameters, ALL_ROWS, SEED), table.matrix, table.labels)
    return numpy.asarray(estimator.predict_proba(table.matrix))


def test_a_single_learner(table: Table) -> None:
    """It is fitted on all rows with the trial's parameters, and answers the classes over a data frame."""
    model = fit_trial(table, 5, [LOGISTIC, FOREST], SEED)
    assert [name for name, _ in model.steps] == ["datatransformer", "randomforest"]
    wanted = _alone(table, "RandomForest", {"n_estimators": 40, "max_depth": 6, "max_features": 1.0, "min_samples_leaf": 8})
    assert numpy.allclose(model.predict_proba(_frame(table)), wanted)
    assert set(model.predict(_frame(table))) == set(table.specification.classes)


def test_a_boosted_learner_grows_for_more_rows(table: Table) -> None:
    """Of four folds, each fit had three quarters of the rows: on all of them it takes a third more rounds."""
    from bankmlops.automl.algorithms import algorithm_named

    start = dict(algorithm_named("LightGBM").starts[0])
    shown = {**{name: f"{value:g}" for name, value in start.items()}, "n_estimators": "30"}
    answers = _answers(table, 1, Configuration(1, "LightGBM", shown))
    assert numpy.allclose(answers, _alone(table, "LightGBM", {**start, "n_estimators": 40}))


def test_a_voting_ensemble(table: Table) -> None:
    """Its members are blended by their weights, and the blend is calibrated as the leaderboard says."""
    weights = {"ensembled_iterations": "[5, 3]", "ensemble_weights": "[0.75, 0.25]"}
    plain = Configuration(9, "VotingEnsemble", {**weights, "calibration": "none"})
    blend = 0.75 * _answers(table, 5, FOREST) + 0.25 * _answers(table, 3, LOGISTIC)
    assert numpy.allclose(_answers(table, 9, LOGISTIC, FOREST, plain), blend)
    calibration = fit_calibration(blend, table.labels)
    assert calibration is not None
    shown = numpy.abs(calibration.coefficients)
    words = f"beta, a {shown[0, 0]:.4f}, b {shown[0, 1]:.4f}" if len(shown) == 1 else f"temperature {1 / shown[0, 0]:.4f}"
    calibrated = Configuration(9, "VotingEnsemble", {**weights, "calibration": words})
    assert numpy.allclose(_answers(table, 9, LOGISTIC, FOREST, calibrated), calibration.answer([blend]), atol=1e-3)


def test_a_stack_ensemble(table: Table) -> None:
    """Its meta learner is rebuilt from its coefficients, to the digits that the leaderboard has of them."""
    members = [_answers(table, 5, FOREST), _answers(table, 3, LOGISTIC)]
    learner = fit_meta_learner(members, table.labels)
    shown = {
        "ensembled_iterations": "[5, 3]",
        "meta_learner_coefficients": str(learner.coefficients.round(4).tolist()),
        "meta_learner_intercepts": str(learner.intercepts.round(4).tolist()),
    }
    model = fit_trial(table, 9, [LOGISTIC, FOREST, Configuration(9, "StackEnsemble", shown)], SEED)
    assert model.steps[1][0] == "stackensembleclassifier"
    assert numpy.allclose(model.predict_proba(_frame(table)), learner.answer(members), atol=1e-3)
    assert set(model.predict(_frame(table))) <= set(table.specification.classes)


def test_what_the_leaderboard_lacks(table: Table) -> None:
    """An unknown trial or member, and words that say nothing, are named."""
    with pytest.raises(NotFoundError, match="no trial 4"):
        fit_trial(table, 4, [LOGISTIC], SEED)
    voting = {"ensembled_iterations": "[3, 7]", "ensemble_weights": "[0.5, 0.5]"}
    with pytest.raises(NotFoundError, match="ensemble of trial 7"):
        fit_trial(table, 9, [LOGISTIC, Configuration(9, "VotingEnsemble", voting)], SEED)
    with pytest.raises(InvalidRequestError, match="ensembled_iterations is not understood"):
        fit_trial(table, 9, [LOGISTIC, Configuration(9, "VotingEnsemble", {})], SEED)


@pytest.mark.parametrize("kind", [numpy.int64, numpy.float64, numpy.bool_])
def test_it_answers_what_the_label_column_holds(kind: type) -> None:
    """Labels that are numbers or truths are predicted as such, and not as their texts."""
    given = columns(200, 2)
    given["y"] = (given["y"] == "class 1").astype(kind)
    table = prepare(given, config(given, n_cross_validations=2))
    predicted = fit_trial(table, 3, [LOGISTIC], SEED).predict(_frame(table))
    assert predicted.dtype == given["y"].dtype
    assert set(predicted.tolist()) == set(given["y"].tolist())
