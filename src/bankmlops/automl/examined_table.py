"""A table as guardrails look at it: what several of them need is worked out once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy

from bankmlops.automl.known_tables import KnownLate, KnownTable
from bankmlops.automl.leakage import MAXIMUM_ROWS, area_alone, grouped
from bankmlops.features import ColumnSpecification, FeatureSpecification

Array = numpy.ndarray[Any, Any]

LEAKAGE_AREA = 0.99


@dataclass(frozen=True)
class ExaminedTable:
    """Its columns are without the label; `labels` int [rows] are class codes, `folds` int8 [rows] those of `automl.folds`."""

    columns: Mapping[str, Array]
    specification: FeatureSpecification
    labels: Array
    folds: Array | None
    known: KnownTable | None

    @cached_property
    def missing(self) -> Mapping[str, int]:
        """How many values each column lacks, where it lacks any."""
        counts = {name: _missing(array) for name, array in self.columns.items()}
        return {name: count for name, count in counts.items() if count}

    @cached_property
    def codes(self) -> Mapping[str, Array]:
        """Each column's values, numbered from 0."""
        return {name: _codes(array) for name, array in self.columns.items()}

    @cached_property
    def groups(self) -> tuple[Array, Array]:
        """int64 [rows], int64 [rows]: the number of each row's features, and of its features with its label."""
        generator = numpy.random.default_rng(0)
        features = numpy.zeros(len(self.labels), dtype=numpy.uint64)  # a random sum: 64 bits tell half a million rows apart
        for codes in self.codes.values():
            features += codes.astype(numpy.uint64) * generator.integers(2**63, dtype=numpy.uint64)
        with_label = features + self.labels.astype(numpy.uint64) * generator.integers(2**63, dtype=numpy.uint64)
        return numpy.unique(features, return_inverse=True)[1], numpy.unique(with_label, return_inverse=True)[1]

    @cached_property
    def areas_alone(self) -> Mapping[str, float]:
        """What each used column says of the label by itself."""
        every = -(-len(self.labels) // MAXIMUM_ROWS)
        labels, classes = self.labels[::every], len(self.specification.classes)
        return {
            column.name: area_alone(self._values_of(column)[::every], labels, classes) for column in self.specification.columns
        }

    def _values_of(self, column: ColumnSpecification) -> Array:
        if column.is_numeric:
            return grouped(self.columns[column.name].astype(numpy.float64))
        return self.codes[column.name]

    @property
    def leaks(self) -> list[str]:
        """The columns that alone are almost enough to tell the label."""
        return [name for name, area in self.areas_alone.items() if area >= LEAKAGE_AREA]

    @property
    def known_late(self) -> list[KnownLate]:
        """What is known of a used column's values coming too late."""
        used = {column.name for column in self.specification.columns}
        return [late for late in (self.known.known_late if self.known else ()) if late.column in used]


def _missing(array: Array) -> int:
    if array.dtype.kind == "f":
        return int((~numpy.isfinite(array)).sum())
    return sum(value is None for value in array.tolist()) if array.dtype.kind == "O" else 0


def _codes(array: Array) -> Array:
    if array.dtype.kind in "OUT":
        seen: dict[Any, int] = {}
        return numpy.fromiter((seen.setdefault(value, len(seen)) for value in array.tolist()), numpy.int64, len(array))
    return numpy.unique(array, return_inverse=True)[1]
