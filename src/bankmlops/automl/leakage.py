"""Does a column give the label away? What each column says alone, and what the score is without a suspect.

Alone: the column's values (numbers in groups of equal size) are ranked by the classes' shares among one half of the rows, and the
ranks are judged on the other half, so that a column of identifiers says nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from bankmlops.automl.lightgbm_library import load_lightgbm
from bankmlops.automl.metrics import SMALLEST_PROBABILITY, classification_metrics
from bankmlops.features import FeatureSpecification

Array = numpy.ndarray[Any, Any]

MAXIMUM_ROWS = 20_000
MAXIMUM_GROUPS = 50
_ROWS_A_GROUP = 10
COMPARED_METRICS = ("accuracy", "AUC_weighted", "log_loss")
COMPARED_FOLDS = 2
_MAXIMUM_COMPARED_ROWS = 50_000
_SECONDS_A_MILLION_CELLS = 1.0  # of a matrix, for both fits of a fold: enough to tell that there is no time at all


def area_alone(codes: Array, labels: Array, classes: int) -> float:
    """The area under the ROC curve of what a column says alone: of each class against the rest, weighted by the classes' rows.

    `codes` int [rows] are the column's values, numbered from 0; `labels` int [rows].
    """
    half = numpy.arange(len(labels)) % 2 == 0
    size = int(codes.max()) + 1
    counts = [_counts(codes[part], labels[part], size, classes) for part in (half, ~half)]
    return (_area(counts[0], counts[1]) + _area(counts[1], counts[0])) / 2


def _counts(codes: Array, labels: Array, size: int, classes: int) -> Array:
    """int64 [values, classes]: how many rows have each value and class."""
    return numpy.bincount(codes * classes + labels, minlength=size * classes).reshape(size, classes)


def _area(seen: Array, judged: Array) -> float:
    shares = seen.sum(axis=0) / max(seen.sum(), 1)
    rates = (seen + shares) / (seen.sum(axis=1, keepdims=True) + 1)  # a value that was not seen has the classes' shares
    rows = judged.sum(axis=0)
    present = [code for code in range(len(rows)) if 0 < rows[code] < rows.sum()]
    if not present:
        return 0.5
    areas = [_area_of_ranks(rates[:, code], judged[:, code], judged.sum(axis=1) - judged[:, code]) for code in present]
    return float(numpy.average(areas, weights=rows[present]))


def _area_of_ranks(rates: Array, inside: Array, outside: Array) -> float:
    """Mann and Whitney's count over groups of rows: pairs in the right order, and half of those that are level."""
    _, level = numpy.unique(rates.round(12), return_inverse=True)
    inside, outside = numpy.bincount(level, weights=inside), numpy.bincount(level, weights=outside)
    below = numpy.concatenate([[0.0], outside.cumsum()[:-1]])
    return float((inside * (below + outside / 2)).sum() / (inside.sum() * outside.sum()))


def grouped(numbers: Array) -> Array:
    """int64 [rows]: the group of each number, of groups of about equal size; missing ones are a group of their own."""
    finite = numpy.isfinite(numbers)
    count = int(min(MAXIMUM_GROUPS, max(len(numbers) // _ROWS_A_GROUP, 2)))
    if not finite.any():
        return numpy.zeros(len(numbers), dtype=numpy.int64)
    borders = numpy.unique(numpy.quantile(numbers[finite], numpy.arange(1, count) / count))
    return numpy.where(finite, numpy.searchsorted(borders, numbers, side="left"), count)


@dataclass(frozen=True, slots=True)
class ColumnWorth:
    """Scores by Azure's names: of one small fixed model with the column and without it, and of answering the classes' shares."""

    column: str
    with_it: Mapping[str, float]
    without_it: Mapping[str, float]
    baseline: Mapping[str, float]
    rows: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        scores = {"with_it": dict(self.with_it), "without_it": dict(self.without_it), "baseline": dict(self.baseline)}
        return {"column": self.column, **scores, "rows": self.rows}


def measure_worth(
    column: str, specification: FeatureSpecification, matrix: Array, labels: Array, folds: Array, *, deadline: float
) -> ColumnWorth | None:
    """Score a small LightGBM with the column and without it, on the rows of two folds, one thread.

    None where that can't be done by the `deadline` (of `time.monotonic`), or where the column is the only one.
    """
    kept = columns_without(column, specification)
    rows = _thinned_rows(len(labels))
    matrix, labels, folds = matrix[rows], labels[rows], folds[rows]
    if not kept.size or time.monotonic() + matrix.size / 1e6 * _SECONDS_A_MILLION_CELLS > deadline:
        return None
    with_it = _held_out(matrix, labels, folds, len(specification.classes), deadline)
    without_it = _held_out(matrix[:, kept], labels, folds, len(specification.classes), deadline)
    if with_it is None or without_it is None:
        return None
    judged = folds < COMPARED_FOLDS
    scores = [_compared(labels[judged], each) for each in (with_it, without_it, baseline_probabilities(labels)[judged])]
    return ColumnWorth(column, scores[0], scores[1], scores[2], int(judged.sum()))


def columns_without(column: str, specification: FeatureSpecification) -> Array:
    """int64: the matrix columns that the other columns have."""
    pairs = zip(specification.columns, specification.offsets, strict=True)
    of_others = [range(offset, offset + each.width) for each, offset in pairs if each.name != column]
    return numpy.array([position for positions in of_others for position in positions], dtype=numpy.int64)


def baseline_probabilities(labels: Array) -> Array:
    """float64 [rows, classes]: the classes' shares, the same for every row."""
    shares = numpy.bincount(labels) / len(labels)
    return numpy.tile(numpy.maximum(shares, SMALLEST_PROBABILITY), (len(labels), 1))


def _compared(labels: Array, probabilities: Array) -> dict[str, float]:
    values = classification_metrics(labels, probabilities)
    return {name: values[name] for name in COMPARED_METRICS if name in values}


def _thinned_rows(count: int) -> Array:
    return numpy.unique(numpy.linspace(0, count - 1, min(count, _MAXIMUM_COMPARED_ROWS)).astype(numpy.int64))


def _held_out(matrix: Array, labels: Array, folds: Array, classes: int, deadline: float) -> Array | None:
    """float64 [rows of the first folds, classes], in the rows' order; None where there is no time for it."""
    found = numpy.full((len(labels), classes), SMALLEST_PROBABILITY)
    longest = 0.0
    for fold in range(COMPARED_FOLDS):
        started = time.monotonic()
        if started + longest > deadline:
            return None
        model, held_out = _small_model(), folds == fold
        model.fit(matrix[~held_out], labels[~held_out])
        found[numpy.ix_(held_out, model.classes_)] = model.predict_proba(matrix[held_out])
        longest = time.monotonic() - started
    return found[folds < COMPARED_FOLDS]


def _small_model() -> Any:
    return load_lightgbm().LGBMClassifier(
        n_estimators=60,
        learning_rate=0.1,
        num_leaves=15,
        colsample_bytree=0.5,
        random_state=0,
        n_jobs=1,
        deterministic=True,
        force_row_wise=True,
        verbosity=-1,
    )


def strongest(areas: Mapping[str, float], count: int) -> Sequence[tuple[str, float]]:
    """The columns that say most alone, the strongest first."""
    return sorted(areas.items(), key=lambda pair: (-pair[1], pair[0]))[:count]
