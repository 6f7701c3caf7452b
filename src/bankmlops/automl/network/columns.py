"""How the network sees the matrix: numbers cut at quantiles, which it may bend at, flags, and groups of category columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

Array = numpy.ndarray[Any, Any]

_HALF_WIDTH = 3**0.5  # of the positions of a number's knots: evenly spread values then have a variance of 1
_MAXIMUM_KNOTS = 1_000  # of all numbers together: each costs a row of the first layer's weights
_FEWEST_BINS = 4
_FEWEST_CATEGORIES = 3  # of an embedding: two are flags, which it would say no more than


@dataclass(frozen=True, slots=True)
class Bent:
    """One column of the matrix that is cut at `knots`, float32 ascending: two where it is taken as a straight line."""

    column: int
    knots: Array

    @property
    def positions(self) -> Array:
        """float64 [knots]: where the network sees each."""
        if len(self.knots) == 2:
            return numpy.array([0.0, 1.0])
        return numpy.linspace(-_HALF_WIDTH, _HALF_WIDTH, len(self.knots))


@dataclass(frozen=True, slots=True)
class NetworkColumns:
    """The network's inputs, in this order; each of the `categories` is a group of matrix columns of which at most one is 1."""

    numbers: tuple[Bent, ...]
    flags: tuple[Bent, ...]
    categories: tuple[tuple[int, ...], ...]

    @property
    def inputs(self) -> tuple[Bent, ...]:
        """All of them, one by one."""
        ones = tuple(_flag(column) for group in self.categories for column in group)
        return (*self.numbers, *self.flags, *ones)

    def positions(self, matrix: Array) -> Array:
        """float32 [rows, inputs]: the matrix as the network sees it. What lies beyond the outer knots counts as these."""
        seen = numpy.empty((len(matrix), len(self.inputs)), dtype=numpy.float32)
        for place, each in enumerate(self.inputs):
            seen[:, place] = numpy.interp(matrix[:, each.column], each.knots, each.positions)
        return seen


def network_columns(matrix: Array, bins: int) -> NetworkColumns:
    """Learn them of float32 [rows, width]; a number is cut into at most `bins`.

    Adjacent columns of 0 and 1 of which no row has two are one category's. A column that says the same of every row is left out.
    Raises `ValueError` where nothing is left.
    """
    varying = numpy.flatnonzero(matrix.min(axis=0) < matrix.max(axis=0))
    if not len(varying):
        raise ValueError("every column says the same of every row")
    groups = list(_groups(matrix, varying.tolist()))
    flags = [column for group in groups if len(group) < _FEWEST_CATEGORIES for column in group]
    numbers = sorted(set(varying.tolist()).difference(*groups))
    each = min(max(_MAXIMUM_KNOTS // max(len(numbers), 1), _FEWEST_BINS), bins)
    bent = [Bent(column, _knots(matrix[:, column], each)) for column in numbers]
    return NetworkColumns(
        tuple(one for one in bent if len(one.knots) > 2),
        (*(one for one in bent if len(one.knots) == 2), *map(_flag, flags)),
        tuple(group for group in groups if len(group) >= _FEWEST_CATEGORIES),
    )


def _groups(matrix: Array, columns: Sequence[int]) -> Iterator[tuple[int, ...]]:
    group: list[int] = []
    taken = numpy.zeros(len(matrix), dtype=bool)
    for column in columns:
        values = matrix[:, column]
        if not numpy.isin(values, (0.0, 1.0)).all():
            continue
        ones = values > 0
        if group and (column != group[-1] + 1 or (taken & ones).any()):
            yield tuple(group)
            group, taken = [], numpy.zeros(len(matrix), dtype=bool)
        group.append(column)
        taken |= ones
    if group:
        yield tuple(group)


def _flag(column: int) -> Bent:
    return Bent(column, numpy.array([0.0, 1.0], dtype=numpy.float32))


def _knots(values: Array, bins: int) -> Array:
    quantiles = numpy.quantile(values, numpy.linspace(0.0, 1.0, bins + 1), method="nearest")
    return numpy.unique(quantiles.astype(numpy.float32))
