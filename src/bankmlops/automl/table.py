"""The table as the run works on it: its matrix, its labels, and which rows are held out when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy

from bankmlops.automl.folds import assign_folds
from bankmlops.errors import InvalidRequestError
from bankmlops.features import FeatureSpecification, encode_labels, fit, matrix_from_columns
from bankmlops.types import AutoMLConfig

Array = numpy.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """`columns` as they came, `matrix` float32 [rows, width], `labels` int64 [rows], `folds` int8 [rows], and its first row."""

    columns: Mapping[str, Array]
    specification: FeatureSpecification
    matrix: Array
    labels: Array
    folds: Array
    example: Mapping[str, object]

    @property
    def fold_count(self) -> int:
        """How many folds there are."""
        return int(self.folds.max()) + 1


def prepare(columns: Mapping[str, Array], config: AutoMLConfig) -> Table:
    """Fit the features and assign the folds. Raises `InvalidRequestError` for a table that can't serve."""
    label_column = config.dataset.label_column
    specification = fit(columns, label_column)
    if len(specification.classes) < 2:
        raise InvalidRequestError(f"label {label_column!r}: a single class; at least two would serve")
    labels = encode_labels(specification, columns[label_column])
    return Table(
        columns=columns,
        specification=specification,
        matrix=matrix_from_columns(specification, columns),
        labels=labels,
        folds=assign_folds(labels, config.n_cross_validations, config.random_seed),
        example={column.name: _plain(columns[column.name][0]) for column in specification.columns},
    )


def _plain(value: Any) -> object:
    """A cell as JSON has it."""
    value = value.item() if isinstance(value, numpy.generic) else value
    return None if isinstance(value, float) and not numpy.isfinite(value) else value
