"""Calibration: it lowers the log loss of what is too sure or not sure enough, and keeps every label and every rank."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bankmlops.automl import export, pipeline
from bankmlops.automl.algorithms import algorithm_named
from bankmlops.automl.calibration import calibrate_out_of_fold, fit_calibration
from bankmlops.automl.folds import assign_folds
from bankmlops.automl.metrics import log_loss, predicted_codes
from bankmlops.automl.parity import check_parity, measure_parity
from bankmlops.features import encode_labels, fit, matrix_from_columns
from unit.automl.tables import columns

Array = numpy.ndarray[Any, Any]

ROWS = 4000


def _labelled(classes: int, sharpness: float, rows: int = ROWS) -> tuple[Array, Array]:
    """Probabilities that are right but for their sharpness (1 is calibrated), and labels."""
    generator = numpy.random.default_rng(classes)
    score = generator.normal(scale=1.5, size=(rows, classes))
    true = numpy.exp(score) / numpy.exp(score).sum(axis=1, keepdims=True)
    labels = (true.cumsum(axis=1) > generator.random((rows, 1))).argmax(axis=1)
    told = numpy.exp(score * sharpness)
    return (told / told.sum(axis=1, keepdims=True)).astype(numpy.float32), labels


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("sharpness", [0.5, 2.0])
def test_it_lowers_the_loss_of_rows_that_it_was_not_fitted_on(classes: int, sharpness: float) -> None:
    """Out of fold, probabilities that exaggerate or hesitate are answered with a lower log loss, and with the same labels."""
    told, labels = _labelled(classes, sharpness)
    answers = calibrate_out_of_fold(told, labels, assign_folds(labels, 5, 0))
    assert answers is not None
    assert log_loss(labels, answers) < log_loss(labels, told) * 0.99
    assert answers.sum(axis=1) == pytest.approx(numpy.ones(ROWS))
    assert (predicted_codes(answers) == predicted_codes(told)).mean() > 0.999  # but for ties in float32


@pytest.mark.parametrize("classes", [2, 4])
def test_what_is_calibrated_is_left_alone(classes: int) -> None:
    """Probabilities that are right already get no calibration, and neither do few rows."""
    told, labels = _labelled(classes, 1.0)
    assert calibrate_out_of_fold(told, labels, assign_folds(labels, 5, 0)) is None
    told, labels = _labelled(classes, 3.0, rows=90)
    assert calibrate_out_of_fold(told, labels, assign_folds(labels, 5, 0)) is None


def test_few_rows_that_are_all_right() -> None:
    """They get a temperature that hesitates less, and not one that leaves no doubt at all."""
    generator = numpy.random.default_rng(5)
    labels = numpy.arange(142) % 3
    told = numpy.full((142, 3), 0.1) + generator.random((142, 3)) * 0.1
    told[numpy.arange(142), labels] = 0.7
    told /= told.sum(axis=1, keepdims=True)
    answers = calibrate_out_of_fold(told, labels, assign_folds(labels, 10, 0))
    assert answers is not None
    assert 0.02 > 1 - answers.max(axis=1).mean() > 0.002


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(1e-5, 1 - 1e-5), min_size=2, max_size=50, unique=True), st.sampled_from([0.4, 3.0]))
def test_ranks_and_labels_stay(values: list[float], sharpness: float) -> None:
    """Of any two rows the likelier one stays the likelier, and 0.5 stays 0.5."""
    calibration = fit_calibration(*_labelled(2, sharpness))
    assert calibration is not None
    positive = numpy.sort(numpy.array([*values, 0.5]))
    answers = calibration.answer([numpy.stack([1 - positive, positive], axis=1)])[:, 1]
    assert (numpy.diff(answers) >= 0).all()
    assert answers[positive == 0.5] == pytest.approx(0.5)


def test_labels_that_go_the_other_way_are_refused() -> None:
    """Probabilities that a calibration would have to turn round get none."""
    told, labels = _labelled(2, 1.0)
    assert fit_calibration(told[:, ::-1], labels) is None


@pytest.mark.parametrize("classes", [2, 4])
def test_it_is_exported_truly(classes: int) -> None:
    """The graph and the pickled pipeline answer what the calibrated mean of two fits answers, through every export's gate."""
    table = columns(400, classes)
    specification = fit(table, "y")
    matrix, labels = matrix_from_columns(specification, table), encode_labels(specification, table["y"])
    learner = algorithm_named("LightGBM")
    parameters = learner.settle(learner.starts[0]) | {"n_estimators": 20}
    fits = [learner.build(parameters, seed, 1).fit(matrix, labels) for seed in (1, 2)]
    mean = sum(each.predict_proba(matrix) for each in fits) / 2
    calibration = fit_calibration(*_labelled(classes, 2.0))
    assert calibration is not None
    graphs = [export.convert(each, "LightGBM", specification.width) for each in fits]
    model = export.combine(graphs, [{0: 0.5, 1: 0.5}], calibration, specification.width, classes)
    expected = calibration.answer([mean])
    check_parity(measure_parity(expected, export.answers(model, matrix)))
    voting = pipeline.voting_classifier(["a", "b"], fits, [0.5, 0.5], range(classes))
    stacking = pipeline.stacking_classifier(["blend"], [voting], calibration.classifier, specification.classes)
    answers = stacking.predict_proba(matrix)
    assert numpy.abs(answers - expected).max() < 1e-6
    assert set(stacking.predict(matrix)) <= set(specification.classes)
    other_order = specification.classes[::-1]  # a positive class that is not the last in the alphabet
    stacking = pipeline.stacking_classifier(["blend"], [voting], calibration.classifier, other_order)
    assert list(stacking.classes_) == list(other_order)
    assert stacking.predict(matrix).tolist() == [other_order[code] for code in answers.argmax(axis=1)]
