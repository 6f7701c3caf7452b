"""From fitted members to one ONNX graph: each member's own, converted by its library, and the weighted mean of their answers.

Input `features` float32 [rows, width], output `probabilities` float32 [rows, classes]. Trees see the very matrix that they were
trained on; the scaler of a linear member is inside its own part.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

INPUT, OUTPUT = "features", "probabilities"
OPSET, ML_OPSET, IR_VERSION = 15, 3, 8


def convert(estimator: Any, algorithm: str, width: int) -> onnx.ModelProto:
    """The graph of one fitted estimator, as its library's converter makes it."""
    logging.getLogger("onnxmltools").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if algorithm == "LightGBM":
            return _boosted(estimator, width, "convert_lightgbm", zipmap=False)
        if algorithm == "XGBoostClassifier":
            return _boosted(estimator, width, "convert_xgboost")
        return _scikit_learn(estimator, width)


def merge(members: Sequence[onnx.ModelProto], weights: Sequence[float], width: int, classes: int) -> bytes:
    """One serialized model that answers the members' mean, weighted by `weights`, which sum to 1."""
    nodes, initializers, parts = [], [], []
    for index, (member, weight) in enumerate(zip(members, weights, strict=True)):
        graph = _prefixed(member, f"m{index}_")
        nodes += graph.node
        initializers += [*graph.initializer, numpy_helper.from_array(numpy.float32(weight), f"weight_{index}")]
        parts.append(f"weighted_{index}")
        nodes.append(helper.make_node("Mul", [_probabilities_of(graph), f"weight_{index}"], [parts[-1]]))
    nodes.append(helper.make_node("Sum", parts, [OUTPUT]))
    graph = helper.make_graph(
        nodes,
        "bankmlops",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, classes])],
        initializers,
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def answers(model: bytes, matrix: Any) -> Any:
    """float32 [rows, classes]: what the scoring service's runtime makes of the matrix."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run([OUTPUT], {INPUT: matrix})[0]


def _boosted(estimator: Any, width: int, converter: str, **options: Any) -> onnx.ModelProto:
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType

    types = [(INPUT, FloatTensorType([None, width]))]
    return getattr(onnxmltools, converter)(estimator, initial_types=types, target_opset=OPSET, **options)


def _scikit_learn(estimator: Any, width: int) -> onnx.ModelProto:
    import skl2onnx
    from skl2onnx.common.data_types import FloatTensorType

    types = [(INPUT, FloatTensorType([None, width]))]
    opsets = {"": OPSET, "ai.onnx.ml": ML_OPSET}
    return skl2onnx.convert_sklearn(
        estimator, initial_types=types, options={id(estimator): {"zipmap": False}}, target_opset=opsets
    )


def _prefixed(member: onnx.ModelProto, prefix: str) -> onnx.GraphProto:
    renamed = onnx.compose.add_prefix(member, prefix, rename_inputs=False)
    return renamed.graph


def _probabilities_of(graph: onnx.GraphProto) -> str:
    return next(str(output.name) for output in graph.output if output.name.endswith(("probabilities", "output_probability")))
