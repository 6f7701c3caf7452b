"""Which rows are held out when: stratified folds, the same for every trial, so that their scores can be compared in pairs."""

from __future__ import annotations

from typing import Any

import numpy

Array = numpy.ndarray[Any, Any]


def assign_folds(labels: Array, count: int, seed: int) -> Array:
    """int8 [rows]: the fold that holds each row out, 0 to `count` - 1; each class is spread evenly over the folds.

    A class has to have a row outside of every fold, so `count` is cut to the rows of the rarest class where they are fewer.
    """
    count = max(min(count, int(numpy.bincount(labels).min())), 2)
    generator = numpy.random.default_rng(seed)
    order = numpy.lexsort((generator.random(len(labels)), labels))  # each class' rows, shuffled, one class after the other
    folds = numpy.empty(len(labels), dtype=numpy.int8)
    folds[order] = numpy.arange(len(labels)) % count
    return folds
