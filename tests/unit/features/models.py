"""A table's matrix and models of it with interactions between all columns, made from a seed."""

from __future__ import annotations

from typing import Any

import numpy

from bankmlops.features import fit, matrix_from_columns
from bankmlops.features.background import choose_background
from unit.automl.tables import columns

Array = numpy.ndarray[Any, Any]

TABLE = columns(300, 2)
SPECIFICATION = fit(TABLE, "y")
MATRIX = matrix_from_columns(SPECIFICATION, TABLE)
WIDTHS = SPECIFICATION.widths


def model(classes: int) -> Any:
    """Probabilities of so many classes, float64 [rows, classes]."""
    generator = numpy.random.default_rng(classes)
    first = generator.normal(size=(MATRIX.shape[1], 6)) / MATRIX.std(axis=0).clip(0.1)[:, None]
    second = generator.normal(size=(6, classes))

    def predict(matrix: Array) -> Array:
        scores = numpy.tanh(matrix.astype(numpy.float64) @ first) @ second
        return numpy.exp(scores) / numpy.exp(scores).sum(axis=1, keepdims=True)

    return predict


def background_of(predict: Any, size: int = 100) -> Array:
    """What the model is explained against."""
    return choose_background(MATRIX, predict(MATRIX), size)
