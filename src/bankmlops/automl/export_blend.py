"""From what the members say to the one answer, in few operations: each costs about a microsecond of every request.

Members stand side by side as columns: of two classes the second's probability alone, else one for each class. A product with a
fixed matrix makes weighted means of them, and of two classes also what these lack to 1: all that a meta learner asks for.
"""

from __future__ import annotations

from typing import Any

import numpy
import onnx
from onnx import helper

from bankmlops.automl.stacking import MetaLearner

Array = numpy.ndarray[Any, Any]
Blend = tuple[list[onnx.NodeProto], dict[str, Array]]


def blend(columns: str, weights: Array, learner: MetaLearner | None, classes: int, output: str) -> Blend:
    """Nodes, and the constants that they name, from `columns` to `output` float32 [rows, classes].

    `weights` [members, means] says how much each member, in the columns' order, weighs in each mean; there is one mean without a
    `learner`.
    """
    return _pair(columns, weights, learner, output) if classes == 2 else _many(columns, weights, learner, classes, output)


def _pair(columns: str, weights: Array, learner: MetaLearner | None, output: str) -> Blend:
    ones, zeros = numpy.ones(weights.shape[1]), numpy.zeros(weights.shape[1])
    if learner is None:
        constants = _singles(weights=numpy.hstack([-weights, weights]), rest=numpy.concatenate([ones, zeros]))
        return [helper.make_node("Gemm", [columns, "weights", "rest"], [output])], constants
    constants = _singles(
        weights=numpy.hstack([weights, -weights]),
        rest=numpy.concatenate([zeros, ones]),
        lowest=numpy.concatenate([ones * learner.lowest, ones * (1 - learner.highest)]),
        highest=numpy.concatenate([ones * learner.highest, ones * (1 - learner.lowest)]),
        coefficients=numpy.vstack([-learner.coefficients, learner.coefficients]).T,
        intercepts=numpy.concatenate([-learner.intercepts, learner.intercepts]),
    )
    nodes = [
        helper.make_node("Gemm", [columns, "weights", "rest"], ["both"]),
        helper.make_node("Max", ["both", "lowest"], ["raised"]),
        helper.make_node("Min", ["raised", "highest"], ["bounded"]),
        helper.make_node("Log", ["bounded"], ["logarithms"]),
        helper.make_node("Gemm", ["logarithms", "coefficients", "intercepts"], ["scores"]),
        helper.make_node("Sigmoid", ["scores"], [output]),
    ]
    return nodes, constants


def _many(columns: str, weights: Array, learner: MetaLearner | None, classes: int, output: str) -> Blend:
    constants = _singles(weights=numpy.kron(weights, numpy.eye(classes)))
    if learner is None:
        return [helper.make_node("MatMul", [columns, "weights"], [output])], constants
    constants |= _singles(
        lowest=numpy.array(learner.lowest),
        highest=numpy.array(learner.highest),
        coefficients=learner.coefficients.T,
        intercepts=learner.intercepts,
    )
    nodes = [
        helper.make_node("MatMul", [columns, "weights"], ["means"]),
        helper.make_node("Clip", ["means", "lowest", "highest"], ["bounded"]),
        helper.make_node("Log", ["bounded"], ["logarithms"]),
        helper.make_node("Gemm", ["logarithms", "coefficients", "intercepts"], ["scores"]),
        helper.make_node("Softmax", ["scores"], [output], axis=1),
    ]
    return nodes, constants


def _singles(**values: Array) -> dict[str, Array]:
    return {name: value.astype(numpy.float32) for name, value in values.items()}
