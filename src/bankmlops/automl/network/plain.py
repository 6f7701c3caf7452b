"""A trained network as public scikit-learn classes over numpy's weights: whoever unpickles it needs neither PyTorch nor us."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from bankmlops.automl.network.columns import NetworkColumns
from bankmlops.automl.pipeline import voting_classifier

Array = numpy.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Pieces:
    """The pieces of all inputs: int64 `columns` of the matrix, float32 `edges` and `widths`, each [pieces]."""

    columns: Array
    edges: Array
    widths: Array


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of every member: `weights` float32 [members, inputs, outputs], `biases` float32 [members, outputs]."""

    weights: Array
    biases: Array


def pieces_of(columns: NetworkColumns) -> Pieces:
    """Between two knots each, in the order of the inputs."""
    inputs = columns.inputs
    counts = [len(each.knots) - 1 for each in inputs]
    return Pieces(
        numpy.repeat(numpy.array([each.column for each in inputs], dtype=numpy.int64), counts),
        numpy.concatenate([each.knots[:-1] for each in inputs]),
        numpy.concatenate([numpy.diff(each.knots) for each in inputs]),
    )


def plain_classifier(pieces: Pieces, layers: Sequence[Layer], codes: Array) -> Any:
    """A fitted `Pipeline` over the matrix that answers the class codes' probabilities: the mean of the members' perceptrons."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    members = [_perceptron(layers, member, codes) for member in range(len(layers[0].weights))]
    voting = voting_classifier(["MLP"] * len(members), members, [1 / len(members)] * len(members), codes.tolist())
    return make_pipeline(
        FunctionTransformer(numpy.take, kw_args={"indices": pieces.columns, "axis": 1}),
        _scaler(pieces),
        FunctionTransformer(numpy.clip, kw_args={"a_min": 0.0, "a_max": 1.0}),
        voting,
    )


def _scaler(pieces: Pieces) -> Any:
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    scaler.mean_, scaler.scale_, scaler.var_ = pieces.edges, pieces.widths, pieces.widths**2
    scaler.n_features_in_, scaler.n_samples_seen_ = len(pieces.edges), 1
    return scaler


def _perceptron(layers: Sequence[Layer], member: int, codes: Array) -> Any:
    """As its own `fit` would leave it; of two classes it has the logit of the second alone."""
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import LabelBinarizer

    weights, biases = [layer.weights[member] for layer in layers], [layer.biases[member] for layer in layers]
    if len(codes) == 2:
        weights[-1], biases[-1] = numpy.diff(weights[-1], axis=1), numpy.diff(biases[-1])
    perceptron = MLPClassifier([len(bias) for bias in biases[:-1]])
    perceptron.coefs_, perceptron.intercepts_ = weights, biases
    perceptron.n_layers_, perceptron.n_outputs_, perceptron.n_features_in_ = len(layers) + 1, len(biases[-1]), len(weights[0])
    perceptron.out_activation_ = "logistic" if len(codes) == 2 else "softmax"
    perceptron.classes_, perceptron._label_binarizer = codes, LabelBinarizer().fit(codes)
    return perceptron
