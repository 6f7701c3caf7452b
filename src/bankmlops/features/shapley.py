"""What each original column adds to a row's probabilities: Shapley values by walks from a stored background to the row.

A walk starts at a background row and puts the explained row's columns in, one after the other, in a random order; what a column
changes when it comes in is its contribution. The steps of a walk sum to prediction minus start, so the mean over walks, one from
each background row, sums to prediction minus the background's mean prediction, exactly, however few walks there are. Each order
is walked backwards too (antithetic: Mitchell, Cooper, Frank and Holmes, "Sampling permutations for Shapley value estimation",
JMLR 2022). A column is all of its one-hot columns together. Needs numpy alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

Array = numpy.ndarray[Any, Any]
Predict = Callable[[Array], Array]

_CELLS_A_CALL = 1_000_000  # of the matrix that one call of the model gets: 4 MB


@dataclass(frozen=True, slots=True)
class Contributions:
    """`values` float64 [rows, columns, classes] sum over the columns to `predictions` [rows, classes] minus `base` [classes].

    `rounds` is how often each background row was walked from, for each of the rows.
    """

    values: Array
    predictions: Array
    base: Array
    rounds: int


def explain(
    predict: Predict,
    rows: Array,
    background: Array,
    widths: Sequence[int],
    *,
    seed: int,
    rounds: int,
    deadline: float = numpy.inf,
) -> Contributions:
    """The contributions to each of `rows` float32 [rows, width], in at most `rounds` rounds, an even number best.

    `predict` makes probabilities [n, classes] of a matrix [n, width]; `widths` says how many matrix columns each original column
    has, in their order. After the `deadline` (of `time.monotonic`) no round begins but the first.
    """
    walker = _Walker(predict, background, widths, seed)
    predictions = numpy.asarray(predict(rows), dtype=numpy.float64)
    total = numpy.zeros((len(rows), len(widths), predictions.shape[1]))
    done = 0
    while done == 0 or (done < rounds and time.monotonic() < deadline):
        orders = walker.next_orders()
        for index, row in enumerate(rows):
            total[index] += walker.walk(row, predictions[index], orders)
        done += 1
    return Contributions(total / done, predictions, walker.base, done)


def explain_sample(
    predict: Predict, matrix: Array, background: Array, widths: Sequence[int], *, seed: int, rows: int, deadline: float
) -> tuple[Array, Contributions]:
    """Explain at most `rows` rows of the matrix, in a round each, as many as there is time for, at least one.

    Also answers which rows they are, as indices int64: a random draw.
    """
    drawn = numpy.random.default_rng(seed).permutation(len(matrix))[:rows]
    walker = _Walker(predict, background, widths, seed)
    predictions = numpy.asarray(predict(matrix[drawn]), dtype=numpy.float64)
    values: list[Array] = []
    for index, prediction in zip(drawn, predictions, strict=True):
        if values and time.monotonic() >= deadline:
            break
        values.append(walker.walk(matrix[index], prediction, walker.next_orders()))
    done = len(values)
    return drawn[:done], Contributions(numpy.stack(values), predictions[:done], walker.base, 1)


class _Walker:
    """Walks from every background row to a row, each along an order of its own."""

    def __init__(self, predict: Predict, background: Array, widths: Sequence[int], seed: int) -> None:
        self._predict = predict
        self._background = background
        self._starts = numpy.cumsum([0, *widths[:-1]])
        self._column_of = numpy.repeat(numpy.arange(len(widths)), widths)  # of each matrix column
        self._count = len(widths)
        self._generator = numpy.random.default_rng(seed)
        self._orders: Array | None = None
        self._at_start = numpy.asarray(predict(background), dtype=numpy.float64)
        self.base = self._at_start.mean(axis=0)

    def next_orders(self) -> Array:
        """int64 [background, columns]: in each pair of rows one order and its reverse; every second round turns them round."""
        if self._orders is not None:
            orders, self._orders = self._orders[:, ::-1], None
            return orders
        half = [self._generator.permutation(self._count) for _ in range((len(self._background) + 1) // 2)]
        self._orders = numpy.array([order for one in half for order in (one, one[::-1])])[: len(self._background)]
        return self._orders

    def walk(self, row: Array, prediction: Array, orders: Array) -> Array:
        """float64 [columns, classes]: the mean over the walks of what each column changes."""
        states = self._states(row, prediction, orders)
        steps = numpy.diff(states, axis=1)
        changes = numpy.zeros_like(steps)
        numpy.put_along_axis(changes, orders[:, :, None], steps, axis=1)
        return numpy.asarray(changes.mean(axis=0))

    def _states(self, row: Array, prediction: Array, orders: Array) -> Array:
        """float64 [background, columns + 1, classes]: the model's answers along each walk, both ends included.

        A column that is equal at both ends changes nothing, so the model is asked only where something has changed.
        """
        differs = numpy.logical_or.reduceat(self._background != row, self._starts, axis=1)
        moves = numpy.take_along_axis(differs, orders, axis=1)
        arrived = moves[:, ::-1].cumsum(axis=1)[:, ::-1] - moves == 0  # no move comes after this step
        asked = moves & ~arrived
        states = numpy.empty((len(moves), self._count + 1, len(prediction)))
        states[:, 0] = self._at_start
        states[:, 1:][asked] = self._ask(row, asked, orders)
        states[:, 1:][arrived] = prediction
        known = asked | arrived
        latest = numpy.maximum.accumulate(numpy.where(known, numpy.arange(1, self._count + 1), 0), axis=1)
        states[:, 1:] = numpy.take_along_axis(states, latest[:, :, None], axis=1)
        return states

    def _ask(self, row: Array, asked: Array, orders: Array) -> Array:
        """The model's answers where `asked` [background, columns] says, in that order."""
        starts, steps = numpy.nonzero(asked)
        ranks = numpy.argsort(orders, axis=1)[:, self._column_of]  # when each matrix column comes in
        size = max(_CELLS_A_CALL // len(self._column_of), 1)
        answers = [numpy.empty((0, self._at_start.shape[1]))]
        for first in range(0, len(starts), size):
            start, step = starts[first : first + size], steps[first : first + size]
            answers.append(self._predict(numpy.where(ranks[start] <= step[:, None], row, self._background[start])))
        return numpy.concatenate(answers)
