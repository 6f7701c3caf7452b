"""Trees that tell two classes apart by one number are exported as a regression, and nothing else is."""

from __future__ import annotations

from typing import Any

import numpy
import onnx
import pytest
from onnx import helper

from bankmlops.automl import export
from bankmlops.automl.algorithms import algorithm_named
from bankmlops.automl.export_trees import regression_of
from bankmlops.features import encode_labels, fit, matrix_from_columns
from unit.automl.tables import columns

Array = numpy.ndarray[Any, Any]

TREES = ("LightGBM", "XGBoostClassifier", "RandomForest", "ExtremeRandomTrees")


def _converted(name: str, classes: int) -> tuple[onnx.ModelProto, Array]:
    """A fitted learner's graph, and a matrix float32 [400, width]."""
    table = columns(400, classes)
    specification = fit(table, "y")
    matrix = matrix_from_columns(specification, table)
    algorithm = algorithm_named(name)
    parameters = algorithm.settle(algorithm.starts[0])
    if "n_estimators" in parameters:
        parameters["n_estimators"] = 20
    estimator = algorithm.build(parameters, 1, 1).fit(matrix, encode_labels(specification, table["y"]))
    return export.convert(estimator, name, specification.width), matrix


def _on_thresholds(graph: onnx.ModelProto, matrix: Array) -> Array:
    """The matrix with half of its values on a threshold of the trees."""
    random = numpy.random.default_rng(0)
    trees = next(node for node in graph.graph.node if node.op_type == "TreeEnsembleClassifier")
    given = {attribute.name: numpy.array(helper.get_attribute_value(attribute)) for attribute in trees.attribute}
    rows, splits = matrix.copy(), given["nodes_modes"] != b"LEAF"
    for column in range(rows.shape[1]):
        thresholds = given["nodes_values"][splits & (given["nodes_featureids"] == column)]
        chosen = random.random(len(rows)) < 0.5
        if len(thresholds):
            rows[chosen, column] = random.choice(thresholds, chosen.sum())
    return rows


def _operations(model: bytes) -> set[str]:
    return {node.op_type for node in onnx.load_from_string(model).graph.node}


@pytest.mark.parametrize("name", TREES)
def test_the_regression_answers_what_the_classifier_does(name: str) -> None:
    """It is no other model, on rows that lie on its thresholds too."""
    graph, matrix = _converted(name, 2)
    rows = _on_thresholds(graph, matrix)
    model = export.merge([graph], [1.0], matrix.shape[1], 2)
    assert "TreeEnsembleRegressor" in _operations(model)
    assert "TreeEnsembleClassifier" not in _operations(model)
    converted = export.answers(graph.SerializeToString(), rows)
    assert numpy.abs(export.answers(model, rows) - converted).max() < 3e-7


@pytest.mark.parametrize(("name", "classes"), [("LogisticRegression", 2), *((name, 3) for name in TREES)])
def test_what_stays_as_it_was_converted(name: str, classes: int) -> None:
    """A linear model, and trees of more classes."""
    graph, _ = _converted(name, classes)
    assert regression_of(graph) is None


def test_all_kinds_at_once() -> None:
    """Boosted members, forests and linear ones keep their weights, whatever their order."""
    names = ("RandomForest", "LightGBM", "LogisticRegression", "XGBoostClassifier", "ExtremeRandomTrees")
    graphs, matrix = [_converted(name, 2)[0] for name in names], _converted("LightGBM", 2)[1]
    weights = [0.3, 0.1, 0.25, 0.2, 0.15]
    alone = [export.answers(export.merge([graph], [1.0], matrix.shape[1], 2), matrix) for graph in graphs]
    together = export.answers(export.merge(graphs, weights, matrix.shape[1], 2), matrix)
    assert numpy.abs(together - sum(w * each for w, each in zip(weights, alone, strict=True))).max() < 1e-6
