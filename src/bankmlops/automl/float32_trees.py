"""LightGBM's trees with thresholds that a float32 graph can hold.

LightGBM compares in float64, the exported graph in float32. A row may lie between a threshold and the float32 next to it, and
take another branch there. Rounded down, a threshold splits every float32 row as before, and the graph holds the same number.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy

from bankmlops.automl.lightgbm_library import load_lightgbm


def round_classifier(estimator: Any) -> Any:
    """A copy of the fitted `LGBMClassifier` with such thresholds; it answers the same for any float32 matrix."""
    rounded = copy.copy(estimator)
    rounded._Booster = round_booster(estimator.booster_)
    return rounded


def round_booster(booster: Any) -> Any:
    """The same for a `lightgbm.Booster`."""
    lines = [_rounded_line(line) for line in booster.model_to_string().splitlines() if not line.startswith("tree_sizes=")]
    return load_lightgbm().Booster(model_str="\n".join(lines) + "\n")


def _rounded_line(line: str) -> str:
    name, equals, values = line.partition("=")
    if name != "threshold":
        return line
    exact = numpy.array(values.split(), dtype=numpy.float64)
    nearest = exact.astype(numpy.float32)
    below = numpy.where(nearest > exact, numpy.nextafter(nearest, numpy.float32(-numpy.inf)), nearest)
    return name + equals + " ".join(repr(float(value)) for value in below)
