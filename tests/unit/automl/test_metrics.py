"""Azure's metrics against scikit-learn's own words for them."""

from __future__ import annotations

import numpy
import pytest
from sklearn import metrics as sk

from bankmlops.automl.metrics import classification_metrics, metric_of, predicted_codes

AZURE_NAMES = {
    "accuracy",
    "balanced_accuracy",
    "log_loss",
    "matthews_correlation",
    "norm_macro_recall",
    "weighted_accuracy",
    *(
        f"{name}_{average}"
        for name in ("AUC", "average_precision_score", "f1_score", "precision_score", "recall_score")
        for average in ("macro", "micro", "weighted")
    ),
}


def _case(classes: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    generator = numpy.random.default_rng(classes)
    labels = generator.integers(0, classes, 400)
    scores = generator.normal(size=(400, classes)) + 1.5 * numpy.eye(classes)[labels]
    probabilities = numpy.exp(scores) / numpy.exp(scores).sum(axis=1, keepdims=True)
    return labels, probabilities


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_every_metric_of_azure_is_there(classes: int) -> None:
    """Each metric that Azure computes for classification has its name and a finite value."""
    values = classification_metrics(*_case(classes))
    assert set(values) >= AZURE_NAMES
    assert all(numpy.isfinite(value) for value in values.values())


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_values_are_scikit_learns(classes: int) -> None:
    """Each value is what scikit-learn computes for it."""
    labels, probabilities = _case(classes)
    predicted = probabilities.argmax(axis=1)
    truth = numpy.eye(classes)[labels]
    values = classification_metrics(labels, probabilities)
    expected = {
        "accuracy": sk.accuracy_score(labels, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
        "log_loss": sk.log_loss(labels, probabilities),
        "matthews_correlation": sk.matthews_corrcoef(labels, predicted),
        "norm_macro_recall": sk.balanced_accuracy_score(labels, predicted, adjusted=True),
        "f1_score_weighted": sk.f1_score(labels, predicted, average="weighted"),
        "f1_score_micro": sk.f1_score(labels, predicted, average="micro"),
        "precision_score_macro": sk.precision_score(labels, predicted, average="macro"),
        "recall_score_weighted": sk.recall_score(labels, predicted, average="weighted"),
        "AUC_weighted": sk.roc_auc_score(truth, probabilities, average="weighted"),
        "AUC_macro": sk.roc_auc_score(truth, probabilities, average="macro"),
        "average_precision_score_weighted": sk.average_precision_score(truth, probabilities, average="weighted"),
    }
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, abs=1e-9), name


def test_weighted_accuracy_weighs_rows_by_their_class() -> None:
    """Three rows of a class of three and one of a class of one: (2 * 3 + 1) / (3 * 3 + 1) where one of the three is wrong."""
    probabilities = numpy.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]])
    assert classification_metrics(numpy.array([0, 0, 0, 1]), probabilities)["weighted_accuracy"] == pytest.approx(0.7)


@pytest.mark.parametrize("name", sorted(AZURE_NAMES - {"balanced_accuracy"}))
def test_one_metric_alone_is_the_same(name: str) -> None:
    """Asking for one metric gives what asking for all gives."""
    case = _case(3)
    assert metric_of(name, *case) == classification_metrics(*case)[name]


def test_a_tie_goes_to_the_second_class() -> None:
    """At exactly one half the second class is predicted, as the scoring service does with its threshold."""
    assert predicted_codes(numpy.array([[0.5, 0.5], [0.5000001, 0.4999999]])).tolist() == [1, 0]


def test_an_absent_class_is_left_out_of_the_curves() -> None:
    """Labels that lack a class still have finite metrics."""
    labels, probabilities = _case(3)
    kept = labels != 2
    values = classification_metrics(labels[kept], probabilities[kept])
    assert all(numpy.isfinite(value) for value in values.values())
