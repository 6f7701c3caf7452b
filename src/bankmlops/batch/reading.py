"""The input as chunks of Arrow columns, in order: CSV cut into bytes that any thread can parse, Parquet in slices of row groups.

The chunks of a file are the same whenever it is read, which is what makes an ended run resumable.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from bankmlops.batch.cutting import Delimited, cut, describe
from bankmlops.datasets.decimals import shows_comma, shows_point, with_points
from bankmlops.datasets.reading import PARQUET_MAGIC, PARQUET_SUFFIXES, read_errors
from bankmlops.datasets.sources import SUFFIXES
from bankmlops.errors import InvalidRequestError
from bankmlops.features import FeatureSpecification

CHUNK_ROWS = 65_536
_TEXT = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that can't be scored: its number from 0 in its file (in its chunk, until all chunks are known), and why."""

    row: int
    column: str
    reason: str


@dataclass(frozen=True, slots=True)
class Rows:
    """A chunk's columns by name. `count` counts all its rows; `numbers` are those of the rows that the columns hold."""

    columns: Mapping[str, pa.Array]
    count: int
    numbers: numpy.ndarray[tuple[int], numpy.dtype[numpy.int64]]
    rejections: tuple[Rejection, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of the input: its number over the whole input, its file and that file's number; `share` is its part of all bytes."""

    number: int
    file: int
    path: Path
    share: float
    load: Callable[[], Rows] = field(compare=False)


def input_files(path: Path) -> tuple[Path, ...]:
    """The file itself, or the CSV and Parquet files of a folder by name. Raises `InvalidRequestError`."""
    with read_errors(path):
        if not path.is_dir():
            with path.open("rb"):
                return (path,)
        found = sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES and each.is_file())
    if not found:
        raise InvalidRequestError(f"{path}: no file that ends in {', '.join(SUFFIXES)}; a CSV or Parquet file would serve")
    return tuple(found)


def chunks(files: Sequence[Path], specification: FeatureSpecification) -> Iterator[Chunk]:
    """Every chunk of the files, in order, read when its turn comes. Raises `InvalidRequestError`, for a column as well."""
    total = sum(path.stat().st_size for path in files) or 1
    number = 0
    for index, path in enumerate(files):
        share = path.stat().st_size / total
        with read_errors(path):
            loads = _parquet(path, specification) if _is_parquet(path) else _delimited(path, specification)
            for part, load in loads:
                yield Chunk(number, index, path, part * share, load)
                number += 1


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC or path.suffix.lower() in PARQUET_SUFFIXES


def _wanted(path: Path, names: Sequence[str], specification: FeatureSpecification) -> list[str]:
    """The columns that the model wants, in its order. Raises `InvalidRequestError` where one is missing."""
    wanted = [column.name for column in specification.columns]
    missing = [name for name in wanted if name not in names]
    if missing:
        shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        raise InvalidRequestError(f"{path}: the model's column {missing[0]!r} is missing; the file's columns are {shown}")
    return wanted


Load = tuple[float, Callable[[], Rows]]


def _delimited(path: Path, specification: FeatureSpecification) -> Iterator[Load]:
    delimited = describe(path)
    _wanted(path, delimited.header, specification)
    size = max(path.stat().st_size - delimited.start, 1)
    commas = _decimal_commas(delimited, specification)
    for content in cut(delimited):
        yield len(content) / size, partial(_parse, delimited, specification, commas, content)


def _decimal_commas(delimited: Delimited, specification: FeatureSpecification) -> frozenset[str]:
    """The model's columns of numbers that have decimal commas, which the whole file tells; what is no number doesn't matter."""
    commas: set[str] = set()
    points: set[str] = set()
    if delimited.delimiter == "," or not any(b"," in content for content in cut(delimited)):
        return frozenset()
    texts = {column.name: pa.string() for column in specification.columns if column.kind.is_numeric}
    for content in cut(delimited):
        with suppress(pa.ArrowInvalid):  # what is no table is refused when it is its turn
            columns = _read(delimited, texts, content).columns
            commas |= {name for name in columns.keys() - commas if shows_comma(columns[name], delimited.delimiter)}
            points |= {name for name in columns.keys() - points if shows_point(columns[name])}
    return frozenset(commas - points)


def _parse(delimited: Delimited, specification: FeatureSpecification, commas: Collection[str], content: bytearray) -> Rows:
    """Numbers as numbers where all are; a chunk with another word among them is read again as text."""
    if content.isspace():
        return Rows({}, 0, numpy.arange(0))
    numeric = {column.name: pa.float64() for column in specification.columns if column.kind.is_numeric}
    texts = {column.name: pa.string() if column.name in commas else _TEXT for column in specification.columns}
    try:
        return _with_points(_read(delimited, texts | {name: numeric[name] for name in numeric.keys() - commas}, content), commas)
    except pa.ArrowInvalid:
        pass
    try:
        return _with_points(_read(delimited, texts, content), commas)
    except pa.ArrowInvalid as error:
        raise InvalidRequestError(f"{delimited.path}: not a table ({str(error).splitlines()[0][:300]})") from error


def _with_points(rows: Rows, commas: Collection[str]) -> Rows:
    """The rows with these columns' decimal commas as points: numbers where all are, else texts, each judged by itself."""
    if not commas:
        return rows
    return replace(rows, columns={**rows.columns, **{name: _numbers_of(rows.columns[name]) for name in commas}})


def _numbers_of(texts: pa.Array) -> pa.Array:
    points = with_points(texts)
    try:
        return points.cast(pa.float64())
    except pa.ArrowInvalid:
        return points


def _read(delimited: Delimited, types: Mapping[str, pa.DataType], content: bytearray) -> Rows:
    """The columns that `types` names, in its order."""
    ragged: list[Rejection] = []

    def reject(row: pyarrow.csv.InvalidRow) -> str:
        reason = f"{row.actual_columns} fields where the header has {row.expected_columns}"
        ragged.append(Rejection(row.number - 1, "", reason))
        return "skip"

    table = pyarrow.csv.read_csv(
        pa.BufferReader(content),
        read_options=pyarrow.csv.ReadOptions(
            use_threads=False, block_size=len(content) + 1, column_names=delimited.header, encoding=delimited.encoding
        ),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=delimited.delimiter, newlines_in_values=True, invalid_row_handler=reject
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            strings_can_be_null=True,
        ),
    )
    count = table.num_rows + len(ragged)
    numbers = numpy.delete(numpy.arange(count), [rejection.row for rejection in ragged])
    return Rows(_columns_of(table), count, numbers, tuple(ragged))


def _parquet(path: Path, specification: FeatureSpecification) -> Iterator[Load]:
    categories = [column.name for column in specification.columns if not column.kind.is_numeric]
    try:
        with pq.ParquetFile(path, read_dictionary=categories) as file:
            names = [name.strip() for name in file.schema_arrow.names]
            wanted = _wanted(path, names, specification)
            stored = [file.schema_arrow.names[names.index(name)] for name in wanted]
            rows = max(file.metadata.num_rows, 1)
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(CHUNK_ROWS, row_groups=[group], columns=stored):
                    renamed = pa.table([batch.column(name) for name in stored], names=wanted)
                    yield batch.num_rows / rows, partial(_whole, renamed)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = str(error).splitlines()[0]
        raise InvalidRequestError(f"{path}: not a readable Parquet file ({reason}); write it again") from error


def _whole(table: pa.Table) -> Rows:
    return Rows(_columns_of(table), table.num_rows, numpy.arange(table.num_rows))


def _columns_of(table: pa.Table) -> dict[str, pa.Array]:
    return {name: _one_array(column) for name, column in zip(table.column_names, table.columns, strict=True)}


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    combined = column.combine_chunks()
    return combined if isinstance(combined, pa.Array) else pa.concat_arrays(combined.chunks)
