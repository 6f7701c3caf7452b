"""Which rows of a large table a run looks at: as many as its minutes let it fit often enough, and no more than memory takes.

A minute has room for some ten fits of boosted trees on 300,000 rows and 60 columns, on two slow cores. A sample is never so small
that it would be judged on folds, which are five fits a trial. It keeps each class' share of the rows, and goes by the table and
the configuration alone, so a run that is resumed has the same one.
"""

from __future__ import annotations

from typing import Any

import numpy

from bankmlops.errors import InvalidRequestError
from bankmlops.features import FeatureSpecification
from bankmlops.types import AutoMLConfig

Array = numpy.ndarray[Any, Any]

ROWS_A_MINUTE = 300_000
FEWEST_ROWS, MOST_ROWS = 250_000, 1_000_000  # a sample is never smaller, and never larger
MOST_CELLS = 250_000_000  # of the matrix, 1 GB of float32; a fit may hold a few times as much
FEWEST_WIDE_ROWS = 5_000  # of a matrix so wide that it has to be shorter
_SHOWN = 5


def sample_rows(labels: Array, config: AutoMLConfig) -> Array | None:
    """int64, sorted: the rows to look at; None where that is all of them. `labels` [rows] may be texts or numbers."""
    return _stratified(labels, _most_rows(config), config.random_seed)


def is_same_sample(rows: int, one: AutoMLConfig, other: AutoMLConfig) -> bool:
    """Whether both look at the same rows of a table of so many."""
    return min(rows, _most_rows(one)) == min(rows, _most_rows(other))


def sample_wide_rows(labels: Array, specification: FeatureSpecification, config: AutoMLConfig) -> Array | None:
    """The same where the matrix of all the rows would have more than `MOST_CELLS`.

    Raises `InvalidRequestError` where a matrix that is small enough would have fewer than `FEWEST_WIDE_ROWS`.
    """
    most = MOST_CELLS // specification.width
    if len(labels) > most and most < FEWEST_WIDE_ROWS:
        raise InvalidRequestError(_too_wide(f"{len(labels):,} rows", specification))
    return _stratified(labels, most, config.random_seed)


def check_validation(labels: Array, specification: FeatureSpecification) -> None:
    """Raises `InvalidRequestError` for a validation dataset, of which there is no sample, whose matrix would be as large."""
    if len(labels) * specification.width > MOST_CELLS:
        raise InvalidRequestError(_too_wide(f"validation_dataset: {len(labels):,} rows", specification))


def _most_rows(config: AutoMLConfig) -> int:
    return round(min(max(ROWS_A_MINUTE * config.experiment_timeout_minutes, FEWEST_ROWS), MOST_ROWS))


def _too_wide(rows: str, specification: FeatureSpecification) -> str:
    widest = sorted(zip(specification.widths, specification.columns, strict=True), key=lambda pair: -pair[0])
    shown = ", ".join(f"{column.name} {width}" for width, column in widest[:_SHOWN])
    return (
        f"{rows} of {specification.width:,} features are more than memory takes; fewer columns would serve "
        f"(drop_columns; the widest: {shown}), or at most {MOST_CELLS // specification.width:,} rows"
    )


def _stratified(labels: Array, most: int, seed: int) -> Array | None:
    if len(labels) <= most:
        return None
    codes = numpy.unique(labels.astype(str) if labels.dtype == object else labels, return_inverse=True)[1]
    order = numpy.lexsort((numpy.random.default_rng(seed).random(len(codes)), codes))
    places = numpy.floor(numpy.arange(1, len(codes) + 1) * (most / len(codes)))
    chosen = order[numpy.diff(places, prepend=0) > 0]
    firsts = order[numpy.unique(codes[order], return_index=True)[1]]
    return numpy.union1d(chosen, firsts[~numpy.isin(codes[firsts], codes[chosen])])  # one of each class at least
