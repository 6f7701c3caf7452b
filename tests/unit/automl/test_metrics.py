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


def test_they_are_those_of_the_sdk() -> None:
    """The names are those that Azure's own SDK has for single numbers of a classification."""
    metric = pytest.importorskip("azureml.automl.core.shared.constants").Metric
    names = metric.SCALAR_CLASSIFICATION_SET | metric.CLASSIFICATION_BINARY_SET
    assert set(classification_metrics(*_case(2))) == names
    assert set(classification_metrics(*_case(3))) == names - metric.CLASSIFICATION_BINARY_SET
    assert set(classification_metrics(*_case(3), positive=1)) == names


@pytest.mark.parametrize(("classes", "positive"), [(2, None), (2, 1), (3, 0), (3, None), (7, 6)])
def test_values_are_scikit_learns(classes: int, positive: int | None) -> None:
    """Each value, without exception, is what scikit-learn computes for it."""
    labels, probabilities = _case(classes)
    values = classification_metrics(labels, probabilities, positive)
    expected = _expected(labels, probabilities, 1 if positive is None and classes == 2 else positive)
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, abs=1e-9), name


def _expected(labels: numpy.ndarray, probabilities: numpy.ndarray, positive: int | None) -> dict[str, float]:
    predicted, truth = probabilities.argmax(axis=1), numpy.eye(probabilities.shape[1])[labels]
    values = {
        "accuracy": sk.accuracy_score(labels, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
        "log_loss": sk.log_loss(labels, probabilities),
        "matthews_correlation": sk.matthews_corrcoef(labels, predicted),
        "norm_macro_recall": sk.balanced_accuracy_score(labels, predicted, adjusted=True),
        "weighted_accuracy": sk.accuracy_score(labels, predicted, sample_weight=numpy.bincount(labels)[labels]),
    }
    for average in ("macro", "micro", "weighted"):
        values[f"AUC_{average}"] = sk.roc_auc_score(truth, probabilities, average=average)
        values[f"average_precision_score_{average}"] = sk.average_precision_score(truth, probabilities, average=average)
        for name in ("f1_score", "precision_score", "recall_score"):
            values[f"{name}_{average}"] = getattr(sk, name)(labels, predicted, average=average)
    if positive is None:
        return values
    values["AUC_binary"] = sk.roc_auc_score(labels == positive, probabilities[:, positive])
    values["average_precision_score_binary"] = sk.average_precision_score(labels == positive, probabilities[:, positive])
    for name in ("f1_score", "precision_score", "recall_score"):
        values[f"{name}_binary"] = getattr(sk, name)(labels == positive, predicted == positive)
    return values


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
