"""A model that takes its time: a few requests a second are all that it can carry, or a large one takes a second."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy
import onnx
from onnx import helper, numpy_helper

from support.bundles import write_bundle

WIDTH = 1024


def write_slow_bundle(folder: Path, layers: int) -> None:
    """The tests' model with a long chain of products in it, so that a few requests a second are all that it can carry."""
    model = onnx.load(write_bundle(folder) / "model.onnx")
    graph, width = model.graph, model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    for name, rows in (("first", width), ("next", WIDTH)):
        graph.initializer.append(numpy_helper.from_array(numpy.zeros((rows, WIDTH), numpy.float32), name))
    graph.initializer.append(numpy_helper.from_array(numpy.zeros((WIDTH, 2), numpy.float32), "last"))
    chain = [helper.make_node("MatMul", ["features", "first"], ["layer0"])]
    chain += [helper.make_node("MatMul", [f"layer{number}", "next"], [f"layer{number + 1}"]) for number in range(layers)]
    chain += [
        helper.make_node("MatMul", [f"layer{layers}", "last"], ["nothing"]),
        helper.make_node("Add", ["scores", "nothing"], ["slow"]),
    ]
    softmax = next(node for node in graph.node if node.op_type == "Softmax")
    softmax.input[0] = "slow"
    nodes = [*chain[:-1], *[node for node in graph.node if node is not softmax], chain[-1], softmax]
    del graph.node[:]
    graph.node.extend(nodes)
    content = model.SerializeToString()
    (folder / "model.onnx").write_bytes(content)
    manifest = json.loads((folder / "model.json").read_text())
    manifest["sha256"]["model.onnx"] = hashlib.sha256(content).hexdigest()
    (folder / "model.json").write_text(json.dumps(manifest))
