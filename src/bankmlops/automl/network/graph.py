"""The network's ONNX graph, written of its plain form: no PyTorch takes part, and all members are in the same few operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = numpy.ndarray[Any, Any]


def network_graph(classifier: Any, width: int, source: str, opset: int) -> onnx.ModelProto:
    """`source` float32 [rows, width] to `label` int64 [rows] and `probabilities` float32 [rows, classes].

    `classifier` is what `plain_classifier` makes. Within the graph the members come first: [members, rows, units].
    """
    constants = _constants(classifier)
    perceptrons = classifier[-1].estimators_
    nodes = [*_pieces(source), *_layers(len(perceptrons[0].coefs_)), *_answer(perceptrons[0].n_outputs_)]
    classes = len(perceptrons[0].classes_)
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, [None, width])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, classes]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def _constants(classifier: Any) -> dict[str, Array]:
    take, scaler = classifier[0], classifier[1]
    perceptrons = classifier[-1].estimators_
    constants: dict[str, Any] = {
        "columns": numpy.asarray(take.kw_args["indices"], dtype=numpy.int64),
        "edges": numpy.asarray(scaler.mean_, dtype=numpy.float32),
        "widths": numpy.asarray(scaler.scale_, dtype=numpy.float32),
        "zero": numpy.float32(0),
        "one": numpy.float32(1),
    }
    for place in range(len(perceptrons[0].coefs_)):
        constants[f"weights_{place}"] = _stacked([each.coefs_[place] for each in perceptrons])
        constants[f"biases_{place}"] = _stacked([each.intercepts_[place][None] for each in perceptrons])
    return constants


def _stacked(arrays: Sequence[Array]) -> Array:
    return numpy.stack(arrays).astype(numpy.float32)


def _pieces(source: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Gather", [source, "columns"], ["values"], axis=1),
        helper.make_node("Sub", ["values", "edges"], ["beyond"]),
        helper.make_node("Div", ["beyond", "widths"], ["shares"]),
        helper.make_node("Clip", ["shares", "zero", "one"], ["units_0"]),
    ]


def _layers(count: int) -> list[onnx.NodeProto]:
    nodes = []
    for place in range(count):
        last = place == count - 1
        nodes += [
            helper.make_node("MatMul", [f"units_{place}", f"weights_{place}"], [f"product_{place}"]),
            helper.make_node("Add", [f"product_{place}", f"biases_{place}"], ["logits" if last else f"sum_{place}"]),
        ]
        if not last:
            nodes.append(helper.make_node("Relu", [f"sum_{place}"], [f"units_{place + 1}"]))
    return nodes


def _answer(outputs: int) -> list[onnx.NodeProto]:
    """The members' mean; of two classes they have the second's logit alone."""
    label = helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0)
    if outputs > 1:
        return [
            helper.make_node("Softmax", ["logits"], ["each"], axis=-1),
            helper.make_node("ReduceMean", ["each"], ["probabilities"], axes=[0], keepdims=0),
            label,
        ]
    return [
        helper.make_node("Sigmoid", ["logits"], ["each"]),
        helper.make_node("ReduceMean", ["each"], ["second"], axes=[0], keepdims=0),
        helper.make_node("Sub", ["one", "second"], ["first"]),
        helper.make_node("Concat", ["first", "second"], ["probabilities"], axis=1),
        label,
    ]
