"""From fitted members to one ONNX graph: each member's own, converted by its library, and what is made of their answers.

Input `features` float32 [rows, width], output `probabilities` float32 [rows, classes]. Trees see the very matrix that they were
trained on; the scaler of a linear member is inside its own part.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

from bankmlops.automl.algorithms import NETWORK
from bankmlops.automl.export_blend import blend
from bankmlops.automl.export_trees import Link, probabilities_of, regression_of
from bankmlops.automl.float32_trees import round_classifier
from bankmlops.automl.network.graph import network_graph
from bankmlops.automl.stacking import MetaLearner

INPUT, OUTPUT = "features", "probabilities"
OPSET, ML_OPSET, IR_VERSION = 15, 3, 8
_COLUMNS = "columns"
_SECOND = {"second": numpy.array([1], dtype=numpy.int64)}
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
        if algorithm == NETWORK.name:
            return network_graph(estimator, width, INPUT, OPSET)
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
    columns = _columns(members, classes)
    weights = numpy.array([[shares.get(place, 0.0) for shares in means] for place in columns.order])
    nodes, constants = blend(_COLUMNS, weights, learner, classes, OUTPUT)
    return _joined(columns.graphs, [*columns.nodes, *nodes], {**columns.constants, **constants}, width, classes)


class _Columns(NamedTuple):
    """Members side by side, in their `order`: graphs of their own, and the nodes and constants that are needed besides."""

    order: Sequence[int]
    graphs: Sequence[onnx.GraphProto]
    nodes: Sequence[onnx.NodeProto]
    constants: Mapping[str, Any]


def _columns(members: Sequence[onnx.ModelProto], classes: int) -> _Columns:
    if classes > 2:
        graphs = {place: _prefixed(member, place) for place, member in enumerate(members)}
        together = _side_by_side([probabilities_of(graph) for graph in graphs.values()], _COLUMNS)
        return _Columns(list(graphs), list(graphs.values()), [together], {})
    regressions = {place: found for place, member in enumerate(members) if (found := regression_of(member))}
    graphs = {place: _prefixed(member, place) for place, member in enumerate(members) if place not in regressions}
    linked = [place for place, regression in regressions.items() if regression.link is Link.LOGISTIC]
    others = [place for place in range(len(members)) if place not in linked]
    nodes = [regression.node(INPUT, f"number_{place}") for place, regression in regressions.items()]
    nodes += [
        helper.make_node("Gather", [probabilities_of(graph), "second"], [f"number_{place}"], axis=1)
        for place, graph in graphs.items()
    ]
    names = [f"number_{place}" for place in others]
    if linked:
        nodes.append(_side_by_side([f"number_{place}" for place in linked], "scores_linked"))
        nodes.append(helper.make_node("Sigmoid", ["scores_linked"], ["linked"]))
        names.insert(0, "linked")
    return _Columns(
        [*linked, *others], list(graphs.values()), [*nodes, _side_by_side(names, _COLUMNS)], _SECOND if graphs else {}
    )


def _side_by_side(names: Sequence[str], output: str) -> onnx.NodeProto:
    if len(names) == 1:
        return helper.make_node("Identity", names, [output])
    return helper.make_node("Concat", names, [output], axis=1)


def _joined(
    members: Sequence[onnx.GraphProto], nodes: Sequence[onnx.NodeProto], constants: Mapping[str, Any], width: int, classes: int
) -> bytes:
    """The members' graphs and, after them, the nodes that make one answer of theirs."""
    graph = helper.make_graph(
        [*(node for member in members for node in member.node), *nodes],
        "bankmlops",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, classes])],
        [
            *(constant for member in members for constant in member.initializer),
            *(numpy_helper.from_array(value, name) for name, value in constants.items()),
        ],
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


def _prefixed(member: onnx.ModelProto, place: int) -> onnx.GraphProto:
    renamed = onnx.compose.add_prefix(member, f"m{place}_", rename_inputs=False)
    return renamed.graph
