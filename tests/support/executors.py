"""An executor over a small table, as a search has one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy

from bankmlops.automl.executor import ProcessExecutor, processes

ROWS = 300


@contextmanager
def small_executor(folder: Path, *, network: bool = False) -> Iterator[ProcessExecutor]:
    """Over `ROWS` rows of four columns and two classes, in three folds; `folder` takes what its tasks leave."""
    generator = numpy.random.default_rng(0)
    matrix = generator.normal(size=(ROWS, 4)).astype(numpy.float32)
    labels = (matrix[:, 0] + 0.5 * generator.normal(size=ROWS) > 0).astype(numpy.int64)
    folder.mkdir(exist_ok=True)
    with processes(folder, matrix, labels, (numpy.arange(ROWS) % 3).astype(numpy.int8), network=network) as executor:
        yield executor
