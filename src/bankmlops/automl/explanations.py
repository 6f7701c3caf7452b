"""What moves the winner, told of the original columns: their importance over a sample of rows, and single rows that add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy

from bankmlops.features import FeatureSpecification
from bankmlops.features.shapley import Contributions

Array = numpy.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Importance:
    """What each column adds, over a sample of rows.

    `values` float64 [columns] are the mean sizes of the contributions, over rows and classes. `contributions` float64 [rows,
    columns] are those to the probability of `shown_class`; `levels` float64 [rows, columns] says how high each row's number is
    among the sample's, from 0 to 1, and is NaN for texts. `base` is the background's mean probability of that class.
    """

    columns: tuple[str, ...]
    values: Array
    shown_class: str
    contributions: Array
    levels: Array
    base: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it, the most important column first."""
        order = numpy.argsort(-self.values, kind="stable")
        shares = {self.columns[index]: round(float(self.values[index]), 8) for index in order}
        return {"importance": shares, "rows": len(self.contributions), "shown_class": self.shown_class, "base": self.base}


def importance_of(found: Contributions, rows: Array, specification: FeatureSpecification) -> Importance:
    """The importance of the original columns; `rows` float32 [rows, width] are those that `found` explains."""
    code = shown_code(found)
    return Importance(
        columns=tuple(column.name for column in specification.columns),
        values=numpy.abs(found.values).mean(axis=(0, 2)),
        shown_class=specification.classes[code],
        contributions=found.values[:, :, code],
        levels=_levels(rows, specification),
        base=float(found.base[code]),
    )


@dataclass(frozen=True, slots=True)
class Example:
    """One row: its number in the table, and how `base` and the contributions make its probability of `shown_class`.

    `parts` are (column, value as text, contribution), the largest first.
    """

    row: int
    shown_class: str
    probability: float
    base: float
    parts: tuple[tuple[str, str, float], ...]


def examples_of(
    found: Contributions, indices: Array, columns: Mapping[str, Array], specification: FeatureSpecification
) -> tuple[Example, ...]:
    """Three of the explained rows, `indices` of the table's `columns`: the likeliest, the least sure and the unlikeliest."""
    code = shown_code(found)
    probabilities = found.predictions[:, code]
    order = numpy.argsort(-probabilities, kind="stable")
    unsure = int(found.predictions.max(axis=1).argmin())
    chosen = dict.fromkeys([int(order[0]), unsure, int(order[-1])])
    return tuple(_example(found, place, int(indices[place]), columns, specification) for place in chosen)


def _example(
    found: Contributions, place: int, row: int, columns: Mapping[str, Array], specification: FeatureSpecification
) -> Example:
    code = shown_code(found)
    names = [column.name for column in specification.columns]
    values = found.values[place, :, code]
    parts = [
        (names[index], _text(columns[names[index]][row]), float(values[index])) for index in numpy.argsort(-numpy.abs(values))
    ]
    return Example(row, specification.classes[code], float(found.predictions[place, code]), float(found.base[code]), tuple(parts))


def _text(value: object) -> str:
    if isinstance(value, float | numpy.floating):
        return f"{value:.6g}" if numpy.isfinite(value) else "missing"
    return "missing" if value is None else str(value)


def shown_code(found: Contributions) -> int:
    """Of two classes the second; of more the one that the base has most of."""
    return 1 if len(found.base) == 2 else int(found.base.argmax())


def _levels(rows: Array, specification: FeatureSpecification) -> Array:
    levels = numpy.full((len(rows), len(specification.columns)), numpy.nan)
    for index, (column, offset) in enumerate(zip(specification.columns, specification.offsets, strict=True)):
        if column.is_numeric:
            _, ranks = numpy.unique(rows[:, offset], return_inverse=True)
            levels[:, index] = ranks / max(int(ranks.max()), 1)
    return levels
