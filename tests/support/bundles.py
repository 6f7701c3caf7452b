"""A small but real bundle and service folder: a linear model as an ONNX graph, written in milliseconds, nothing trained."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy
from onnx import TensorProto, helper, numpy_helper

from bankmlops.features import FeatureSpecification, fit, matrix_from_rows
from bankmlops.features.background import background_to_json

PRIMARY = "primary-key-of-the-tests-0123456789"
SECONDARY = "secondary-key-of-the-tests-0123456789"
YOUNG = {"age": 20, "job": "student"}
OLD = {"age": 70, "job": "retired"}
BACKGROUND = [{"age": age, "job": job} for age, job in ((25, "student"), (35, "retired"), (45, "student"), (55, "retired"))]


def specification() -> FeatureSpecification:
    """Two columns, one numeric and one categorical; the label is "no" or "yes"."""
    columns = {
        "age": numpy.array([20, 30, 50, 70], dtype=numpy.int64),
        "job": numpy.array(["student", "retired", "student", "retired"], dtype=object),
        "y": numpy.array(["no", "no", "yes", "yes"], dtype=object),
    }
    return fit(columns, "y")


def write_bundle(folder: Path, spec: FeatureSpecification | None = None) -> Path:
    """A bundle that answers "yes" (the second class of `spec`, which is `specification` or nearly so) from an age of 40 on."""
    folder.mkdir(parents=True)
    spec = spec or specification()
    (folder / "features.json").write_text(spec.to_json(), encoding="utf-8")
    (folder / "model.onnx").write_bytes(_graph(spec))
    (folder / "background.json").write_text(background_to_json(matrix_from_rows(spec, BACKGROUND)), encoding="utf-8")
    files = ("model.onnx", "features.json", "background.json")
    manifest = {
        "format": 1,
        "algorithm": "LogisticRegression",
        "classes": list(spec.classes),
        "threshold": 0.5,
        "input_example": YOUNG,
        "label_column": spec.label_column,
        "sha256": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files},
    }
    (folder / "model.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def write_service(folder: Path, **settings: object) -> None:
    """Put `service.json` in place atomically."""
    document = {
        "name": "bank",
        "model_name": "bankmarketing",
        "model_version": "1",
        "auth_enabled": True,
        "primary_key": PRIMARY,
        "secondary_key": SECONDARY,
        "app_insights": False,
    }
    partial = folder / "service.json.partial"
    partial.write_text(json.dumps(document | settings), encoding="utf-8")
    partial.chmod(0o600)
    partial.replace(folder / "service.json")


def _graph(spec: FeatureSpecification) -> bytes:
    weights = numpy.zeros((spec.width, 2), dtype=numpy.float32)
    weights[spec.names.index("age"), 1] = 0.1
    bias = numpy.array([0.0, -4.0], dtype=numpy.float32)
    nodes = [
        helper.make_node("Gemm", ["features", "weights", "bias"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, spec.width])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
