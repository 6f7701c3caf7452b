"""The table as the run works on it: its matrix, its labels, and which rows are held out when."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy

from bankmlops.automl.featurization import apply_purposes, categorical_columns, ignored_columns, text_columns
from bankmlops.automl.folds import IN_EVERY_FIT, IN_NO_FIT, USUAL_FOLDS, assign_folds, choose_folds, held_out_folds
from bankmlops.automl.sampling import check_validation, sample_rows, sample_wide_rows
from bankmlops.errors import InvalidRequestError
from bankmlops.features import FeatureSpecification, encode_labels, fit, matrix_from_columns
from bankmlops.types import AutoMLConfig

Array = numpy.ndarray[Any, Any]
Columns = Mapping[str, Array]


@dataclass(frozen=True)
class Table:
    """`columns` as they came, `matrix` float32 [rows, width], `labels` int64 [rows], `folds` int8 [rows], and its first row.

    The rows of a validation dataset come last; `folds` are those of `automl.folds`. `sampled_from` is how many rows the data has
    of which these are a sample, or 0 where they are all. `positive` is the code of the class that was asked for, if one was.
    """

    columns: Columns
    specification: FeatureSpecification
    matrix: Array
    labels: Array
    folds: Array
    example: Mapping[str, object]
    sampled_from: int = 0
    positive: int | None = None

    @cached_property
    def fold_count(self) -> int:
        """How many parts like a held-out one the rows have: the number of folds, or 10 where a tenth is held out."""
        held_out = len(self.scored) / len(held_out_folds(self.folds))
        return max(round(len(self.labels) / held_out), 2)

    @cached_property
    def scored(self) -> Array:
        """int64: the indices of the rows that are held out at some time: all of them, unless there is one validation part."""
        return numpy.flatnonzero(self.folds != IN_EVERY_FIT)

    @cached_property
    def scored_labels(self) -> Array:
        """int64 [scored]: their labels."""
        return self.labels[self.scored]

    @cached_property
    def scored_matrix(self) -> Array:
        """float32 [scored, width]: their features."""
        return self.matrix if len(self.scored) == len(self.labels) else self.matrix[self.scored]

    @cached_property
    def crossed_folds(self) -> Array:
        """int8 [rows]: folds that hold every row out, also where there is one validation part."""
        return self.folds if len(held_out_folds(self.folds)) > 1 else assign_folds(self.labels, USUAL_FOLDS, 0)

    @cached_property
    def classes(self) -> tuple[Any, ...]:
        """The specification's classes as the label column has them: as numbers, truths or texts."""
        kind = self.columns[self.specification.label_column].dtype.kind
        names = self.specification.classes
        if kind == "b":
            return tuple(name == "True" for name in names)
        return tuple(map(int, names)) if kind in "iu" else tuple(map(float, names)) if kind == "f" else names

    @cached_property
    def judged(self) -> str:
        """In words, which rows the scores are of."""
        folds = held_out_folds(self.folds)
        if folds == (IN_NO_FIT,):
            return f"the {len(self.scored):,} rows of the validation dataset"
        return f"{len(folds)} folds" if len(folds) > 1 else f"{len(self.scored):,} rows held out"

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 of what trials depend on beside their own parameters."""
        digest = hashlib.sha256(self.specification.to_json().encode())
        for array in (self.labels, self.folds):
            digest.update(numpy.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def prepare(columns: Columns, config: AutoMLConfig, validation: Columns | None = None) -> Table:
    """Fit the features and assign the folds, on a sample where the table is large (`automl.sampling`).

    `validation` are the columns of the validation dataset, where there is one.

    Raises `InvalidRequestError` for a table that can't serve.
    """
    label_column = config.dataset.label_column
    count = len(columns[label_column])
    columns = _taken(columns, sample_rows(columns[label_column], config))
    training: Columns = apply_purposes(columns, config.featurization, label_column)
    specification = _specification(training, ignored_columns(columns, config.featurization), config)
    training = _taken(training, sample_wide_rows(training[label_column], specification, config))
    sampled_from = count if len(training[label_column]) < count else 0
    matrix, labels = matrix_from_columns(specification, training), encode_labels(specification, training[label_column])
    folds = choose_folds(labels, config)
    if validation is not None:
        apart = _alike(apply_purposes(_checked(validation, columns), config.featurization, label_column), training)
        check_validation(apart[label_column], specification)
        training = {name: numpy.concatenate([array, apart[name]]) for name, array in training.items()}
        matrix = numpy.concatenate([matrix, matrix_from_columns(specification, apart)])
        added = encode_labels(specification, apart[label_column])
        folds = numpy.repeat(numpy.array([IN_EVERY_FIT, IN_NO_FIT], dtype=numpy.int8), [len(labels), len(added)])
        labels = numpy.concatenate([labels, added])
    example = {column.name: _plain(training[column.name][0]) for column in specification.columns}
    positive = None if config.positive_label is None else specification.classes.index(config.positive_label)
    table = Table(training, specification, matrix, labels, folds, example, sampled_from, positive)
    if len(numpy.unique(table.scored_labels)) < 2:
        raise InvalidRequestError(f"validation: {table.judged}, all of a single class; hold out more")
    return table


def _taken(columns: Columns, rows: Array | None) -> Columns:
    return columns if rows is None else {name: array[rows] for name, array in columns.items()}


def _specification(columns: Columns, ignored: tuple[str, ...], config: AutoMLConfig) -> FeatureSpecification:
    featurization = config.featurization
    specification = fit(columns, config.dataset.label_column, categorical_columns(featurization), text_columns(featurization))
    where = f"label {config.dataset.label_column!r}"
    if len(specification.classes) < 2:
        raise InvalidRequestError(f"{where}: a single class; at least two would serve")
    return replace(
        specification,
        dropped=(*specification.dropped, *ignored),
        classes=_positive_second(specification.classes, config.positive_label, where),
    )


def _positive_second(classes: tuple[str, ...], positive: str | None, where: str) -> tuple[str, ...]:
    """Of two classes the second is the one that metrics and curves are of; more keep their order."""
    if positive is None:
        return classes
    if positive not in classes:
        raise InvalidRequestError(f"positive_label {positive!r} is no class of {where}; choose from {', '.join(classes[:10])}")
    return classes if len(classes) > 2 else (*(name for name in classes if name != positive), positive)


def _checked(validation: Columns, columns: Columns) -> Columns:
    missing = [name for name in columns if name not in validation]
    if missing:
        raise InvalidRequestError(f"validation_dataset has no column {missing[0]!r}; it needs all that the training data has")
    return {name: validation[name] for name in columns}


def _alike(validation: Columns, training: Columns) -> Columns:
    for name, array in validation.items():
        if (array.dtype.kind in "iuf") != (training[name].dtype.kind in "iuf"):
            kinds = ["numbers" if each.dtype.kind in "iuf" else "text" for each in (array, training[name])]
            raise InvalidRequestError(
                f"validation_dataset: column {name!r} holds {kinds[0]} where the training data has {kinds[1]}"
            )
    return validation


def _plain(value: Any) -> object:
    """A cell as JSON has it."""
    value = value.item() if isinstance(value, numpy.generic) else value
    return None if isinstance(value, float) and not numpy.isfinite(value) else value
