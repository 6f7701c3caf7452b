"""Read a delimited text file: find its delimiter, parse it with Arrow, and name the line where it is ragged."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from bankmlops.datasets.decimals import with_numbers
from bankmlops.datasets.encodings import detect_encoding
from bankmlops.errors import InvalidRequestError

DELIMITERS = (",", ";", "\t", "|")
SAMPLE_RECORDS = 100
MAXIMUM_FIELD_CHARACTERS = 1 << 20
_DELIMITER_LINE = re.compile(r'"?sep=([^\w"\r\n])"?\r?\n?', re.IGNORECASE)


def read_delimited(path: Path, texts: Collection[str] = ()) -> pa.Table:
    """The table in a CSV file; the columns named in `texts` as they are written. Raises `InvalidRequestError`."""
    encoding = detect_encoding(path)
    delimiter = detect_delimiter(path, encoding)
    _check_header(path, encoding, delimiter)
    table = _parse(path, encoding, delimiter, {})
    asked = [name for name in table.column_names if name.strip() in texts]
    # A date keeps the spelling it has in the file: a row to score will come with the same.
    as_text = {field.name: pa.string() for field in table.schema if field.name in asked or pa.types.is_temporal(field.type)}
    return with_numbers(_parse(path, encoding, delimiter, as_text) if as_text else table, delimiter, asked)


def detect_delimiter(path: Path, encoding: str) -> str:
    """The one that a first line such as `sep=;` names, or that cuts most of the first records as the header, and most fields."""
    with path.open(encoding=encoding, newline="") as file:
        said = delimiter_line(file.readline(MAXIMUM_FIELD_CHARACTERS))
    return said or max(DELIMITERS, key=lambda delimiter: _fitness(path, encoding, delimiter))


def delimiter_line(line: str) -> str:
    """The delimiter that a first line such as Excel's `sep=;` names, which belongs to no table; "" where it is another line."""
    found = _DELIMITER_LINE.fullmatch(line)
    return found[1] if found else ""


def _fitness(path: Path, encoding: str, delimiter: str) -> tuple[bool, float, int]:
    try:
        records = [record for _, record in islice(_records(path, encoding, delimiter), SAMPLE_RECORDS)]
    except csv.Error:
        return (False, 0.0, 0)
    widths = [len(record) for record in records]
    if not widths or widths[0] == 1:
        return (False, 0.0, 0)
    return (True, widths.count(widths[0]) / len(widths), widths[0])


def _records(path: Path, encoding: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The line where each record starts, and its fields; blank lines are left out."""
    csv.field_size_limit(MAXIMUM_FIELD_CHARACTERS)
    with path.open(encoding=encoding, newline="") as file:
        before = _lines_before_header(path, encoding)
        reader = csv.reader(islice(file, before, None), delimiter=delimiter, strict=True)
        line = before + 1
        for record in reader:
            if record:
                yield line, record
            line = before + reader.line_num + 1


def _lines_before_header(path: Path, encoding: str) -> int:
    with path.open(encoding=encoding, newline="") as file:
        return 1 if delimiter_line(file.readline(MAXIMUM_FIELD_CHARACTERS)) else 0


def _check_header(path: Path, encoding: str, delimiter: str) -> None:
    from bankmlops.datasets.reading import check_names

    try:
        line, header = next(_records(path, encoding, delimiter), (1, []))
    except csv.Error as error:
        raise InvalidRequestError(f"{path}, line 1: {error}; is a quotation mark not closed?") from error
    if not header:
        raise InvalidRequestError(f"{path}: no header; a first line of column names would serve")
    check_names(f"{path}, line {line}", header)


def _parse(path: Path, encoding: str, delimiter: str, types: dict[str, pa.DataType]) -> pa.Table:
    try:
        return pa.csv.read_csv(
            path,
            read_options=pa.csv.ReadOptions(encoding=encoding, skip_rows=_lines_before_header(path, encoding)),
            parse_options=pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(column_types=types, strings_can_be_null=True),
        )
    except pa.ArrowInvalid as error:
        raise _located(path, encoding, delimiter, str(error)) from error


def _located(path: Path, encoding: str, delimiter: str, reason: str) -> InvalidRequestError:
    width = 0
    line = 1
    rows = -1
    try:
        for line, record in _records(path, encoding, delimiter):
            rows += 1
            width = width or len(record)
            if len(record) != width:
                return _ragged(path, line, record, width)
    except csv.Error as error:
        return InvalidRequestError(f"{path}, after line {line}: {error}; is a quotation mark not closed?")
    if not rows:  # a header without an end of line is what Arrow doesn't take for one
        return InvalidRequestError(f"{path}: a header but no rows; a table with at least 50 rows would serve")
    return InvalidRequestError(f"{path}: not a table ({reason.splitlines()[0]})")


def _ragged(path: Path, line: int, record: Sequence[str], width: int) -> InvalidRequestError:
    return InvalidRequestError(f"{path}, line {line}: {len(record)} fields where the header has {width}; give each line {width}")
