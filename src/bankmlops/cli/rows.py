"""Reads the rows that a person wants scored, from CSV or JSON, and gives their values the types that the endpoint takes."""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bankmlops.errors import BackendUnavailableError, InvalidRequestError

STANDARD_INPUT = "-"
MAXIMUM_BYTES = 64 * 2**20
PART_ROWS = 5_000  # an endpoint of ours takes 20,000 rows and 8 MiB in a request
PART_BYTES = 4 * 2**20
NUMBERS = frozenset({"integer", "number"})
_PARQUET_MAGIC = b"PAR1"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_WHOLE_FILES = (
    "`bankmlops score --model NAME --input FILE|DIR --output OUT.parquet` takes it; here a CSV or JSON file would serve"
)
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")

Row = Mapping[str, Any]


def read_rows(file: str, numeric: Collection[str] = ()) -> list[Row]:
    """The rows of a CSV file with a header, or of JSON: a list of objects, one object, or {"data": [...]}; `-` is standard input.

    CSV is read as training reads it, but that its values are texts, and None where they are missing; columns named in `numeric`
    are to hold numbers, and have decimal points afterwards. Raises `InvalidRequestError` that names the file and the line.
    """
    name = "standard input" if file == STANDARD_INPUT else file
    content = _content(file, name)
    if content.removeprefix(_BYTE_ORDER_MARK).lstrip()[:1] in (b"[", b"{"):
        rows = _from_json(name, _text(name, content))
    else:
        with _on_disk(file, name, content) as path:
            rows = _from_csv(name, path, numeric)
    if not rows:
        raise InvalidRequestError(f"{name}: no row; a CSV header with rows below it, or JSON, would serve")
    return list(rows)


def as_described(rows: Sequence[Row], types: Mapping[str, str]) -> list[Row]:
    """The rows with the columns that the endpoint takes (name -> Swagger type), texts turned into those types.

    Where the endpoint describes none the rows stay as they are. Raises `InvalidRequestError` that names the row and column.
    """
    if not types:
        return list(rows)
    return [
        {name: _typed(row[name], kind, f"row {index}, column {name!r}") for name, kind in types.items() if name in row}
        for index, row in enumerate(rows)
    ]


def parts(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """The rows, in their order, in parts that an endpoint takes in one request."""
    part: list[Row] = []
    size = 0
    for row in rows:
        length = len(json.dumps(row))
        if part and (len(part) == PART_ROWS or size + length > PART_BYTES):
            yield part
            part, size = [], 0
        part.append(row)
        size += length
    if part:
        yield part


def _content(file: str, name: str) -> bytes:
    try:
        if file == STANDARD_INPUT:
            content = sys.stdin.buffer.read(MAXIMUM_BYTES + 1)
        else:
            with Path(file).open("rb") as stream:
                content = stream.read(MAXIMUM_BYTES + 1)
    except FileNotFoundError as error:
        raise InvalidRequestError(f"{name}: no such file; a CSV or JSON file, or - for standard input, would serve") from error
    except IsADirectoryError as error:
        raise InvalidRequestError(f"{name}: a folder; {_WHOLE_FILES}") from error
    except OSError as error:
        raise BackendUnavailableError(f"{name}: can't be read ({error.strerror})") from error
    if len(content) > MAXIMUM_BYTES:
        raise InvalidRequestError(f"{name}: more than {MAXIMUM_BYTES:,} bytes; score it in parts")
    if content.startswith(_PARQUET_MAGIC):
        raise InvalidRequestError(f"{name}: a Parquet file; {_WHOLE_FILES}")
    return content


@contextmanager
def _on_disk(file: str, name: str, content: bytes) -> Iterator[Path]:
    """A file that can be read again and again: standard input and pipes are kept while it is. Errors name what was read."""
    if file != STANDARD_INPUT and Path(file).is_file():
        yield Path(file)
        return
    from bankmlops.datasets.whole_files import write_errors

    with tempfile.TemporaryDirectory(prefix="bankmlops-rows-") as folder:
        path = Path(folder) / "rows.csv"
        with write_errors(path):
            path.write_bytes(content)
        try:
            yield path
        except InvalidRequestError as error:
            raise InvalidRequestError(str(error).replace(str(path), name)) from error


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + content[: error.start].count(b"\n")
        raise InvalidRequestError(f"{name}, line {line}, byte {error.start}: not UTF-8 text; save the file as UTF-8") from error


def _from_json(name: str, text: str) -> Sequence[Row]:
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise InvalidRequestError(f"{name}: nested too deeply; a list of objects would serve") from error
    except ValueError as error:
        raise InvalidRequestError(f"{name}: not JSON ({error})") from error
    if isinstance(document, dict):
        document = document.get("data", [document])
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise InvalidRequestError(f'{name}: a list of objects, or {{"data": [...]}}, would serve')
    return document


def _from_csv(name: str, path: Path, numeric: Collection[str]) -> Sequence[Row]:
    from pyarrow.csv import ConvertOptions

    from bankmlops.datasets import decimal_points
    from bankmlops.datasets.delimited import detect_delimiter
    from bankmlops.datasets.encodings import detect_encoding

    encoding = detect_encoding(path)
    delimiter = detect_delimiter(path, encoding)
    missing = frozenset(ConvertOptions().null_values)
    records = _records(name, path, encoding, delimiter)
    header = _header(name, *next(records, (1, [])))
    rows = [_record(name, line, header, fields, missing) for line, fields in records]
    for column in header:
        if column in numeric:
            for row, value in zip(rows, decimal_points([row[column] for row in rows], delimiter), strict=True):
                row[column] = value
    return rows


def _records(name: str, path: Path, encoding: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The fields of each record and the line where it ends; blank lines, and a first one that names the delimiter, are none."""
    from bankmlops.datasets.delimited import delimiter_line

    with path.open(encoding=encoding, newline="") as lines:
        before = 1 if delimiter_line(lines.readline()) else 0
        if not before:
            lines.seek(0)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            yield from ((before + reader.line_num, fields) for fields in reader if fields)
        except csv.Error as error:
            line = before + reader.line_num
            raise InvalidRequestError(f"{name}, line {line}: {error}; is a quotation mark not closed?") from error


def _header(name: str, line: int, fields: Sequence[str]) -> list[str]:
    names = [field.strip() for field in fields]
    if not all(names) or len(set(names)) != len(names):
        raise InvalidRequestError(f"{name}, line {line}: each column needs a name of its own")
    return names


def _record(
    name: str, line: int, header: Sequence[str], fields: Sequence[str], missing: Collection[str]
) -> dict[str, str | None]:
    if len(fields) != len(header):
        raise InvalidRequestError(f"{name}, line {line}: {len(fields)} fields where the header has {len(header)}")
    return {column: None if field in missing else field for column, field in zip(header, fields, strict=True)}


def _typed(value: object, kind: str, where: str) -> object:
    """A text as the endpoint wants it; what is no text was typed by its writer, and stays."""
    if not isinstance(value, str) or kind not in (*NUMBERS, "boolean"):
        return value
    if not value.strip():
        return None
    try:
        if kind == "integer":
            return _integer(value)
        return float(value) if kind == "number" else _boolean(value)
    except ValueError as error:
        raise InvalidRequestError(f"{where}: {value[:40]!r} where a value of type {kind} would serve") from error


def _integer(text: str) -> int | float:
    """A whole number; one with a fraction is for the endpoint to judge."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE + _FALSE:
        raise ValueError(text)
    return word in _TRUE
