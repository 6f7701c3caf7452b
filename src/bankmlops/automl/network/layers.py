"""Reads a trained network as what it is: for each member, a straight line between knots and then layers of ReLU.

What the embeddings make of a number is linear between two knots, and of a category a row of weights. So the embeddings and the
first layer are one matrix over the shares of each piece that a value has passed: clip((x - edge) / width, 0, 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
import torch

from bankmlops.automl.network.columns import Bent, NetworkColumns
from bankmlops.automl.network.plain import Layer
from bankmlops.automl.network.training import Network

Array = numpy.ndarray[Any, Any]

_AT_ONCE = 256  # steps, each of which takes a row of all inputs: all at once would take the square of the width


def layers_of(network: Network, columns: NetworkColumns) -> list[Layer]:
    """Its layers; the first is over the pieces."""
    network = network.double().eval()
    linear = [block[0] for block in network.backbone.blocks]
    with torch.inference_mode():
        hidden = [_layer(layer, layer.weight.shape[1]) for layer in linear[1:]]
        output = _layer(network.output, linear[-1].weight.shape[0])
        return [_first(network, linear[0], columns.inputs), *hidden, output]


def _first(network: Network, layer: Any, inputs: tuple[Bent, ...]) -> Layer:
    """Each piece's weight is by how much the layer's answer grows along it, all other inputs at their lowest."""
    lowest = numpy.array([each.positions[0] for each in inputs])
    steps = [(place, position) for place, each in enumerate(inputs) for position in each.positions]
    parts = [steps[start : start + _AT_ONCE + 1] for start in range(0, len(steps) - 1, _AT_ONCE)]  # neighbours share a step
    grown = numpy.concatenate([_growth(network, layer, lowest, part) for part in parts])
    return Layer(_single(grown.transpose(1, 0, 2)), _single(_answers(network, layer, lowest[None])[0]))


def _growth(network: Network, layer: Any, lowest: Array, steps: Sequence[tuple[int, float]]) -> Array:
    """float32 [pieces, members, outputs]: between each step of an input and its next one."""
    places = numpy.array([place for place, _ in steps])
    probes = numpy.repeat(lowest[None], len(steps), axis=0)
    probes[range(len(steps)), places] = [position for _, position in steps]
    return _single(numpy.diff(_answers(network, layer, probes), axis=0)[places[1:] == places[:-1]])


def _answers(network: Network, layer: Any, positions: Array) -> Array:
    return numpy.asarray(layer(network.view(network.embed(torch.as_tensor(positions)))).numpy())


def _layer(layer: Any, inputs: int) -> Layer:
    members = layer.bias.shape[0]
    zero = torch.zeros(1, members, inputs, dtype=torch.float64)
    ones = torch.eye(inputs, dtype=torch.float64)[:, None, :].expand(-1, members, -1)
    bias = layer(zero)
    return Layer(_single((layer(ones) - bias).numpy().transpose(1, 0, 2)), _single(bias[0].numpy()))


def _single(array: Array) -> Array:
    return numpy.ascontiguousarray(array, dtype=numpy.float32)
