"""Write the stand-in for UCI Bank Marketing, of any length, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from bankmlops.datasets.progress import Progress, silent
from bankmlops.datasets.synthetic_bank import SCHEMA, bank_rows
from bankmlops.datasets.whole_files import whole_file, write_errors
from bankmlops.errors import InvalidRequestError

CHUNK_ROWS = 1 << 17

Write = Callable[[pa.Table], None]


def synthesize(path: Path, rows: int, seed: int, *, on_progress: Progress = silent) -> None:
    """Write `rows` generated rows into `path`, CSV or Parquet by its suffix: the same content for the same rows and seed.

    The file is there whole or not at all; one that was there is replaced. `on_progress` takes the rows written and `rows`. Raises
    `InvalidRequestError` for what can't be made, `BackendUnavailableError` where the disk refuses.
    """
    check_numbers(rows, seed)
    with new_table(path, SCHEMA) as write:
        for start in range(0, rows, CHUNK_ROWS):
            count = min(CHUNK_ROWS, rows - start)
            write(bank_rows(seed, start, count))
            on_progress(start + count, rows)


@contextmanager
def new_table(path: Path, schema: pa.Schema) -> Iterator[Write]:
    """Takes the pieces of a table that is written whole or not at all, CSV or Parquet by the path's suffix.

    Raises `InvalidRequestError` for a path that can't serve, `BackendUnavailableError` where the disk refuses.
    """
    open_writer = _writer_for(path)
    with write_errors(path), _new_file(path) as partial, open_writer(partial, schema) as write:
        yield write


def _writer_for(path: Path) -> Callable[[Path, pa.Schema], AbstractContextManager[Write]]:
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise InvalidRequestError(f"{path}: {_shown(path.suffix)} names no format; {', '.join(_WRITERS)} would serve")
    return writer


def _shown(suffix: str) -> str:
    return f"the suffix {suffix!r}" if suffix else "a name without a suffix"


def _new_file(path: Path) -> AbstractContextManager[Path]:
    if path.exists() and not path.is_file():
        raise InvalidRequestError(f"{path}: is there already and is no file; the name of a new file would serve")
    return whole_file(path)


def check_numbers(rows: int, seed: int) -> None:
    """Raise `InvalidRequestError` where no table has so many rows, or no seed is this number."""
    if rows < 1:
        raise InvalidRequestError(f"rows {rows}: there is nothing to write; 1 or more would serve")
    if seed < 0:
        raise InvalidRequestError(f"seed {seed}: negative; 0 or more would serve")


@contextmanager
def _csv_writer(path: Path, schema: pa.Schema) -> Iterator[Write]:
    # Arrow would quote the names in the header; no category or name here needs it.
    options = pa.csv.WriteOptions(include_header=False, quoting_style="none")
    with path.open("wb") as file:
        file.write((",".join(schema.names) + "\n").encode())
        with pa.csv.CSVWriter(file, schema, write_options=options) as writer:
            yield writer.write_table


@contextmanager
def _parquet_writer(path: Path, schema: pa.Schema) -> Iterator[Write]:
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        yield writer.write_table


_WRITERS: dict[str, Callable[[Path, pa.Schema], AbstractContextManager[Write]]] = {
    ".csv": _csv_writer,
    ".parquet": _parquet_writer,
    ".pq": _parquet_writer,
}
