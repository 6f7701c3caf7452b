"""Trees that tell two classes apart by one number, as the regression that they are.

onnxruntime's classifier keeps a score for each class of every row and looks for the label, although nobody asks for it; a
regression of one number takes about half the time for a row or two (docs/performance.md). The trees stay as they were converted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import onnx
from onnx import helper, numpy_helper

_CLASSIFIER, _REGRESSOR = "TreeEnsembleClassifier", "TreeEnsembleRegressor"


class Link(StrEnum):
    """What makes the second class's probability of the number, in ONNX's words: a forest's number is one already."""

    LOGISTIC = "LOGISTIC"
    NONE = "NONE"


@dataclass(frozen=True, slots=True)
class Regression:
    """Makes a number of each row; `link` makes a probability of it."""

    link: Link
    attributes: Mapping[str, Any]

    def node(self, source: str, output: str) -> onnx.NodeProto:
        """From a matrix float32 [rows, width] to the numbers float32 [rows, 1]."""
        return helper.make_node(_REGRESSOR, [source], [output], domain="ai.onnx.ml", **self.attributes)


def regression_of(member: onnx.ModelProto) -> Regression | None:
    """The trees of a converted estimator, None where it is anything but trees that make one number for two classes."""
    classifier = _classifier_of(member.graph)
    if classifier is None:
        return None
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in classifier.attribute}
    link = given["post_transform"].decode()
    one_number = len(given.get("classlabels_int64s", ())) == 2 and len(set(given["class_ids"])) == 1
    is_shifted = len(given.get("base_values", ())) > 1
    is_share = (
        link == Link.NONE and min(given["class_weights"]) >= 0
    )  # with negative ones the other class's is not what lacks to 1
    if not one_number or is_shifted or not (is_share or link == Link.LOGISTIC):
        return None
    return Regression(Link(link), _as_regressor(given))


def probabilities_of(graph: onnx.GraphProto) -> str:
    """The name of a converted estimator's probabilities [rows, classes], whichever converter made it."""
    return next(str(output.name) for output in graph.output if output.name.endswith(("probabilities", "output_probability")))


def _classifier_of(graph: onnx.GraphProto) -> onnx.NodeProto | None:
    """The node that the graph's probabilities come from, as they are or times one."""
    made_by = {output: node for node in graph.node for output in node.output}
    ones = {constant.name for constant in graph.initializer if (numpy_helper.to_array(constant) == 1).all()}
    name = probabilities_of(graph)
    while (node := made_by.get(name)) is not None and (node.op_type == "Identity" or _is_times_one(node, ones)):
        name = node.input[0]
    return node if node is not None and node.op_type == _CLASSIFIER and node.output[1] == name else None


def _is_times_one(node: onnx.NodeProto, ones: set[str]) -> bool:
    return node.op_type == "Mul" and node.input[1] in ones


def _as_regressor(given: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in given.items() if name.startswith("nodes_") or name == "base_values"}
    leaves = {f"target_{name}": given[f"class_{name}"] for name in ("treeids", "nodeids", "weights")}
    return {**kept, **leaves, "target_ids": [0] * len(given["class_ids"]), "n_targets": 1}
