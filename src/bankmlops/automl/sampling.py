"""Which rows of a large table a run looks at: as many as its minutes let it fit often enough, and no more than memory takes.

Half a minute has room for some ten fits of boosted trees on 300,000 rows and 60 columns, on two cores. A sample keeps each class'
share of the rows. It goes by the configuration alone, so a run that is resumed has the same one.
"""

from __future__ import annotations

from typing import Any

import numpy

from bankmlops.types import AutoMLConfig

Array = numpy.ndarray[Any, Any]

ROWS_A_MINUTE = 600_000
FEWEST_ROWS, MOST_ROWS = 200_000, 1_000_000  # a sample is never smaller, and never larger


def sample_rows(labels: Array, config: AutoMLConfig) -> Array | None:
    """int64, sorted: the rows to look at; None where that is all of them. `labels` [rows] may be texts or numbers."""
    most = round(min(max(ROWS_A_MINUTE * config.experiment_timeout_minutes, FEWEST_ROWS), MOST_ROWS))
    if len(labels) <= most:
        return None
    codes = numpy.unique(labels.astype(str) if labels.dtype == object else labels, return_inverse=True)[1]
    order = numpy.lexsort((numpy.random.default_rng(config.random_seed).random(len(codes)), codes))
    places = numpy.floor(numpy.arange(1, len(codes) + 1) * (most / len(codes)))
    chosen = order[numpy.diff(places, prepend=0) > 0]
    firsts = order[numpy.unique(codes[order], return_index=True)[1]]
    return numpy.union1d(chosen, firsts[~numpy.isin(codes[firsts], codes[chosen])])  # one of each class at least
