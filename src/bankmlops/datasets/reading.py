"""Read a CSV or Parquet file into one canonical table: int64, float64, bool and string columns, whatever the file's own types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISREG

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bankmlops.datasets.delimited import read_delimited
from bankmlops.errors import BackendUnavailableError, InvalidRequestError

PARQUET_MAGIC = b"PAR1"
PARQUET_SUFFIXES = (".parquet", ".pq")


def read_table(path: Path, texts: Collection[str] = ()) -> pa.Table:
    """The table in a CSV file (delimiter, encoding and decimal commas detected) or a Parquet file.

    Dates and times become text; NaN becomes null. A CSV file's columns that are named in `texts` are text as it is written.
    Raises `InvalidRequestError` with one line that names the file and the line, byte or column at fault, and
    `BackendUnavailableError` where the file can't be read.
    """
    with read_errors(path):
        _check_is_file(path)
        head = _head(path)
        is_parquet = head == PARQUET_MAGIC or path.suffix.lower() in PARQUET_SUFFIXES
        table = _read_parquet(path) if is_parquet else read_delimited(path, texts)
    if table.num_rows == 0:
        raise InvalidRequestError(f"{path}: a header but no rows; a table with at least 50 rows would serve")
    return _canonical(path, table)


@contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Why `path` can't be read, in one line: `InvalidRequestError` where it is no file, otherwise `BackendUnavailableError`."""
    try:
        yield
    except FileNotFoundError as error:
        raise InvalidRequestError(f"{path}: no such file; a CSV or Parquet file would serve") from error
    except IsADirectoryError as error:
        raise InvalidRequestError(f"{path}: a folder; a CSV or Parquet file would serve") from error
    except OSError as error:
        raise BackendUnavailableError(f"{path}: can't be read ({error.strerror or error})") from error


def _check_is_file(path: Path) -> None:
    # A pipe or a device may never end, and each file is read more than once.
    if not S_ISREG(path.stat().st_mode) and not path.is_dir():
        raise InvalidRequestError(f"{path}: a pipe or a device; a CSV or Parquet file would serve")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        head = file.read(len(PARQUET_MAGIC))
    if not head:
        raise InvalidRequestError(f"{path}: the file is empty; a CSV or Parquet file with a header and rows would serve")
    return head


def _read_parquet(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            check_names(str(path), file.schema_arrow.names)
            return file.read().replace_schema_metadata(None)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = str(error).splitlines()[0]
        raise InvalidRequestError(f"{path}: not a readable Parquet file ({reason}); write it again") from error


def check_names(place: str, names: list[str]) -> None:
    """Raise `InvalidRequestError`, one line that starts with `place`, for a blank or a duplicate column name."""
    for position, name in enumerate(names, start=1):
        if not name.strip():
            raise InvalidRequestError(f"{place}, column {position}: the column name is blank; give it a name of its own")
    duplicates = [name for name, count in Counter(name.strip() for name in names).items() if count > 1]
    if duplicates:
        places = ", ".join(str(position) for position, name in enumerate(names, start=1) if name.strip() == duplicates[0])
        raise InvalidRequestError(
            f"{place}: the column name {duplicates[0]!r} is there more than once (columns {places}); "
            "give each column a name of its own"
        )


def _canonical(path: Path, table: pa.Table) -> pa.Table:
    names = [name.strip() for name in table.column_names]
    columns = [_canonical_column(path, name, column) for name, column in zip(names, table.columns, strict=True)]
    return pa.table(columns, names=names, metadata=table.schema.metadata)


def _canonical_column(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    target = _canonical_type(path, name, column.type)
    try:
        column = column.cast(target)
    except pa.ArrowInvalid:
        target = pa.float64() if pa.types.is_integer(column.type) else target
        try:
            column = column.cast(target, safe=False)
        except pa.ArrowException as error:
            raise InvalidRequestError(f"{path}, column {name!r}: {str(error).splitlines()[0]}; text would serve") from error
    if pa.types.is_string(target):
        _check_text(path, name, column)
    if pa.types.is_floating(target):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)
    return column


def _check_text(path: Path, name: str, column: pa.ChunkedArray) -> None:
    """Parquet may hold any bytes where it says text."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        raise InvalidRequestError(
            f"{path}, column {name!r}: bytes that are not UTF-8 text; text or numbers would serve"
        ) from error


def _canonical_type(path: Path, name: str, kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_boolean(kind):
        return pa.bool_()
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return pa.float64()
    if pa.types.is_nested(kind):
        raise InvalidRequestError(f"{path}, column {name!r}: {kind} where numbers, booleans, dates or text would serve")
    return pa.string()
