"""Write a stream whose world changes: rows in the order of their time, and in a second file their labels, which arrive late.

Row n depends on the seed, on n and on the length of the stream. Memory is bounded by the rows whose labels are still to come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy
import pyarrow as pa

from bankmlops.datasets.progress import Progress, silent
from bankmlops.datasets.synthetic import CHUNK_ROWS, check_numbers, new_table
from bankmlops.datasets.synthetic_bank import SCHEMA, bank_rows
from bankmlops.errors import InvalidRequestError
from bankmlops.types import StreamDrift

Array = numpy.ndarray[Any, Any]

LABEL = "y"
START = numpy.datetime64("2026-01-01T00:00:00", "s")
SECONDS_A_ROW = 60
MAXIMUM_DELAY = 100_000
LONGEST = 5  # times the mean delay, so that no label is waited for forever
_IDENTITY = [("request_id", pa.string()), ("time", pa.timestamp("s"))]
ROWS_SCHEMA = pa.schema([*_IDENTITY, *(field for field in SCHEMA if field.name != LABEL)])
LABELS_SCHEMA = pa.schema([*_IDENTITY, (LABEL, pa.string())])
_DRAWS = 2  # which world, and how late


def synthesize_stream(
    path: Path, labels: Path, rows: int, seed: int, drift: StreamDrift, delay: float, *, on_progress: Progress = silent
) -> None:
    """Write `rows` rows into `path` and their labels into `labels`, each CSV or Parquet by its suffix.

    A row is stamped a minute after the one before. Its label arrives a number of rows later, distributed exponentially with the
    mean `delay` and `LONGEST` times that at most; the labels are in the order of their arrival. Raises as `synthesize` does.
    """
    check_numbers(rows, seed)
    if path.resolve() == labels.resolve():
        raise InvalidRequestError(f"{path}: rows and labels can't be one file; another name for the labels would serve")
    if not 0 <= delay <= MAXIMUM_DELAY:
        raise InvalidRequestError(f"label delay {delay:g}: a number of rows from 0 to {MAXIMUM_DELAY:,} would serve")
    pending = LABELS_SCHEMA.empty_table()
    with new_table(path, ROWS_SCHEMA) as write, new_table(labels, LABELS_SCHEMA) as write_labels:
        for start in range(0, rows, CHUNK_ROWS):
            count = min(CHUNK_ROWS, rows - start)
            made, due = _chunk(seed, start, count, rows, drift, delay)
            write(made)
            last = START + (start + count) * SECONDS_A_ROW if start + count < rows else None
            arrived, pending = _arrived(pa.concat_tables([pending, due]), last)
            write_labels(arrived)
            on_progress(start + count, rows)


def _chunk(seed: int, start: int, count: int, rows: int, drift: StreamDrift, delay: float) -> tuple[pa.Table, pa.Table]:
    numbers = numpy.arange(start, start + count)
    world, lateness = _draws(seed, start, count)
    changed = (world < _SHARES[drift]((numbers + 0.5) / rows)).astype(numpy.int64)
    table = bank_rows(seed, start, count, changed)
    ids = pa.array([f"{seed:08x}-{number:012x}" for number in numbers.tolist()])
    times = START + numbers * SECONDS_A_ROW
    waits = numpy.minimum(-numpy.log1p(-lateness), LONGEST) * delay
    arrivals = times + numpy.rint(waits * SECONDS_A_ROW).astype(numpy.int64)
    identity = {"request_id": ids, "time": pa.array(times)}
    made = pa.table([identity[name] if name in identity else table[name] for name in ROWS_SCHEMA.names], schema=ROWS_SCHEMA)
    return made, pa.table([ids, pa.array(arrivals), table[LABEL]], schema=LABELS_SCHEMA)


def _draws(seed: int, start: int, count: int) -> Array:
    """float64 [2, count] in [0, 1), of a generator apart from the one that draws the rows."""
    generator = numpy.random.Generator(numpy.random.PCG64(numpy.random.SeedSequence([seed, 1])).advance(start * _DRAWS))
    return numpy.asarray(generator.random((count, _DRAWS)).T)


def _arrived(labels: pa.Table, moment: numpy.datetime64 | None) -> tuple[pa.Table, pa.Table]:
    """The labels that arrive before the moment, in order, and those that are still to come; all of them where it is None."""
    ordered = labels.sort_by([("time", "ascending"), ("request_id", "ascending")])
    if moment is None:
        return ordered, LABELS_SCHEMA.empty_table()
    count = int(numpy.searchsorted(ordered["time"].to_numpy(), moment))
    return ordered.slice(0, count), ordered.slice(count)


def _none(position: Array) -> Array:
    return numpy.zeros_like(position)


def _sudden(position: Array) -> Array:
    return (position >= 0.5).astype(numpy.float64)


def _gradual(position: Array) -> Array:
    return numpy.asarray(numpy.clip((position - 0.35) / 0.3, 0, 1))


def _recurring(position: Array) -> Array:
    return numpy.asarray(numpy.floor(position * 4) % 2, dtype=numpy.float64)


# The share of rows of the changed world, by the position in the stream from 0 to 1.
_SHARES: Mapping[StreamDrift, Callable[[Array], Array]] = {
    StreamDrift.NONE: _none,
    StreamDrift.SUDDEN: _sudden,
    StreamDrift.GRADUAL: _gradual,
    StreamDrift.RECURRING: _recurring,
}
