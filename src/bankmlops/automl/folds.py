"""Which rows are held out when: the same for every trial, so that their scores can be compared in pairs."""

from __future__ import annotations

from typing import Any

import numpy

from bankmlops.types import AutoMLConfig

Array = numpy.ndarray[Any, Any]

IN_EVERY_FIT = -1  # of a row that is never held out
IN_NO_FIT = 127  # the fold of a validation dataset's rows: they are scored, and no model is ever fitted on them
FEW_ROWS, FEW_ROWS_FOLDS = 1_000, 10
USUAL_FOLDS = 5
MANY_ROWS, MANY_ROWS_SHARE = 200_000, 0.1


def choose_folds(labels: Array, config: AutoMLConfig) -> Array:
    """int8 [rows]: the fold that holds each row out, as the configuration asks; else it goes by the number of rows."""
    if config.validation_size is not None:
        return hold_out(labels, config.validation_size, config.random_seed)
    if config.n_cross_validations is not None:
        return assign_folds(labels, config.n_cross_validations, config.random_seed)
    if len(labels) > MANY_ROWS:
        return hold_out(labels, MANY_ROWS_SHARE, config.random_seed)
    return assign_folds(labels, FEW_ROWS_FOLDS if len(labels) < FEW_ROWS else USUAL_FOLDS, config.random_seed)


def assign_folds(labels: Array, count: int, seed: int) -> Array:
    """int8 [rows]: the fold that holds each row out, 0 to `count` - 1; each class is spread evenly over the folds.

    A class has to have a row outside of every fold, so `count` is cut to the rows of the rarest class where they are fewer.
    """
    count = max(min(count, int(numpy.bincount(labels).min())), 2)
    folds = numpy.empty(len(labels), dtype=numpy.int8)
    folds[_by_class(labels, seed)] = numpy.arange(len(labels)) % count
    return folds


def hold_out(labels: Array, share: float, seed: int) -> Array:
    """int8 [rows]: 0 for this share of each class' rows, which are held out, `IN_EVERY_FIT` for the others.

    At least one row is held out, and at least one of each class is not.
    """
    order = _by_class(labels, seed)
    places = numpy.floor(numpy.arange(1, len(labels) + 1) * share) > numpy.floor(numpy.arange(len(labels)) * share)
    folds = numpy.full(len(labels), IN_EVERY_FIT, dtype=numpy.int8)
    folds[order[places]] = 0
    folds[order[numpy.unique(labels[order], return_index=True)[1]]] = IN_EVERY_FIT
    if not (folds == 0).any():
        folds[order[-1]] = 0
    return folds


def held_out_folds(folds: Array) -> tuple[int, ...]:
    """The folds that are scored, in order."""
    return tuple(int(fold) for fold in numpy.unique(folds[folds != IN_EVERY_FIT]))


def _by_class(labels: Array, seed: int) -> Array:
    """int64 [rows]: the indices of each class' rows, shuffled, one class after the other."""
    order: Array = numpy.lexsort((numpy.random.default_rng(seed).random(len(labels)), labels))
    return order
