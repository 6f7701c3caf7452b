"""From fitted members to one ONNX graph: each member's own, converted by its library, and what is made of their answers.

Input `features` float32 [rows, width], output `probabilities` float32 [rows, classes]. Trees see the very matrix that they were
trained on; the scaler of a linear member is inside its own part.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

from bankmlops.automl.float32_trees import round_classifier
from bankmlops.automl.stacking import MetaLearner

INPUT, OUTPUT = "features", "probabilities"
OPSET, ML_OPSET, IR_VERSION = 15, 3, 8
Shares = Mapping[int, float]


def convert(estimator: Any, algorithm: str, width: int) -> onnx.ModelProto:
    """The graph of one fitted estimator, as its library's converter makes it."""
    logging.getLogger("onnxmltools").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if algorithm == "LightGBM":
            return _boosted(round_classifier(estimator), width, "convert_lightgbm", zipmap=False)
        if algorithm == "XGBoostClassifier":
            return _boosted(estimator, width, "convert_xgboost")
        return _scikit_learn(estimator, width)


def merge(members: Sequence[onnx.ModelProto], weights: Sequence[float], width: int, classes: int) -> bytes:
    """One serialized model that answers the members' mean, weighted by `weights`, which sum to 1."""
    return combine(members, [dict(enumerate(weights))], None, width, classes)


def stack(members: Sequence[onnx.ModelProto], meta_learner: MetaLearner, width: int, classes: int) -> bytes:
    """One serialized model that answers what the meta learner makes of the members' probabilities."""
    return combine(members, [{index: 1.0} for index in range(len(members))], meta_learner, width, classes)


def combine(
    members: Sequence[onnx.ModelProto], means: Sequence[Shares], learner: MetaLearner | None, width: int, classes: int
) -> bytes:
    """One serialized model of what `learner` makes of weighted means of the members' answers; without one, of a single mean.

    Each of the `means` says which members it is of, by their place, and how much each weighs in it; that sums to 1.
    """
    graphs = [_prefixed(member, f"m{index}_") for index, member in enumerate(members)]
    answers = [_probabilities_of(graph) for graph in graphs]
    names = [f"mean_{index}" for index in range(len(means))] if learner else [OUTPUT]
    constants: dict[str, Any] = {}
    nodes = [node for name, shares in zip(names, means, strict=True) for node in _mean_nodes(name, answers, shares, constants)]
    if learner:
        nodes += _learner_nodes(names, learner, constants)
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    return _joined(graphs, nodes, initializers, width, classes)


def _mean_nodes(name: str, answers: Sequence[str], shares: Shares, constants: dict[str, Any]) -> list[onnx.NodeProto]:
    nodes = []
    for index, weight in shares.items():
        constants[f"{name}_weight_{index}"] = numpy.float32(weight)
        nodes.append(helper.make_node("Mul", [answers[index], f"{name}_weight_{index}"], [f"{name}_part_{index}"]))
    return [*nodes, helper.make_node("Sum", [f"{name}_part_{index}" for index in shares], [name])]


def _learner_nodes(answers: Sequence[str], learner: MetaLearner, constants: dict[str, Any]) -> list[onnx.NodeProto]:
    constants |= {
        "lowest": numpy.float32(learner.lowest),
        "highest": numpy.float32(learner.highest),
        "second": numpy.array([1], dtype=numpy.int64),
        "one": numpy.float32(1),
        "coefficients": learner.coefficients.T.astype(numpy.float32),
        "intercepts": learner.intercepts.astype(numpy.float32),
    }
    return _stacked_pair(answers) if len(learner.intercepts) == 1 else _stacked(answers)


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
