"""From fitted members to one ONNX graph: each member's own, converted by its library, and what is made of their answers.

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

from bankmlops.automl.stacking import HIGHEST, LOWEST, MetaLearner

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
    graphs = [_prefixed(member, f"m{index}_") for index, member in enumerate(members)]
    constants = [numpy_helper.from_array(numpy.float32(weight), f"weight_{index}") for index, weight in enumerate(weights)]
    parts = [f"weighted_{index}" for index in range(len(graphs))]
    nodes = [
        helper.make_node("Mul", [_probabilities_of(graph), constant.name], [part])
        for graph, constant, part in zip(graphs, constants, parts, strict=True)
    ]
    return _joined(graphs, [*nodes, helper.make_node("Sum", parts, [OUTPUT])], constants, width, classes)


def stack(members: Sequence[onnx.ModelProto], meta_learner: MetaLearner, width: int, classes: int) -> bytes:
    """One serialized model that answers what the meta learner makes of the members' probabilities."""
    graphs = [_prefixed(member, f"m{index}_") for index, member in enumerate(members)]
    answers = [_probabilities_of(graph) for graph in graphs]
    constants = {
        "lowest": numpy.float32(LOWEST),
        "highest": numpy.float32(HIGHEST),
        "second": numpy.array([1], dtype=numpy.int64),
        "one": numpy.float32(1),
        "coefficients": meta_learner.coefficients.T.astype(numpy.float32),
        "intercepts": meta_learner.intercepts.astype(numpy.float32),
    }
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    nodes = _stacked_pair(answers) if classes == 2 else _stacked(answers)
    return _joined(graphs, nodes, initializers, width, classes)


def _stacked_pair(answers: Sequence[str]) -> list[onnx.NodeProto]:
    seconds = [f"second_{index}" for index in range(len(answers))]
    return [
        *(helper.make_node("Gather", [answer, "second"], [name], axis=1) for answer, name in zip(answers, seconds, strict=True)),
        helper.make_node("Concat", seconds, ["members"], axis=1),
        helper.make_node("Clip", ["members", "lowest", "highest"], ["bounded"]),
        helper.make_node("Sub", ["one", "bounded"], ["others"]),
        helper.make_node("Log", ["bounded"], ["logarithms_second"]),
        helper.make_node("Log", ["others"], ["logarithms_first"]),
        helper.make_node("Concat", ["logarithms_second", "logarithms_first"], ["logarithms"], axis=1),
        helper.make_node("Gemm", ["logarithms", "coefficients", "intercepts"], ["score"]),
        helper.make_node("Sigmoid", ["score"], ["positive"]),
        helper.make_node("Sub", ["one", "positive"], ["negative"]),
        helper.make_node("Concat", ["negative", "positive"], [OUTPUT], axis=1),
    ]


def _stacked(answers: Sequence[str]) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Concat", list(answers), ["members"], axis=1),
        helper.make_node("Clip", ["members", "lowest", "highest"], ["bounded"]),
        helper.make_node("Log", ["bounded"], ["logarithms"]),
        helper.make_node("Gemm", ["logarithms", "coefficients", "intercepts"], ["score"]),
        helper.make_node("Softmax", ["score"], [OUTPUT], axis=1),
    ]


def _joined(
    members: Sequence[onnx.GraphProto],
    nodes: Sequence[onnx.NodeProto],
    initializers: Sequence[onnx.TensorProto],
    width: int,
    classes: int,
) -> bytes:
    """The members' graphs and, after them, the nodes that make one answer of theirs."""
    graph = helper.make_graph(
        [*(node for member in members for node in member.node), *nodes],
        "bankmlops",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, classes])],
        [*(constant for member in members for constant in member.initializer), *initializers],
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
