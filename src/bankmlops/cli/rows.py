"""Reads the rows that a person wants scored, from CSV or JSON, and gives their values the types that the endpoint takes."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bankmlops.errors import BackendUnavailableError, InvalidRequestError

STANDARD_INPUT = "-"
MAXIMUM_BYTES = 64 * 2**20
PART_ROWS = 5_000  # an endpoint of ours takes 20,000 rows and 8 MiB in a request
PART_BYTES = 4 * 2**20
_DELIMITERS = ",;\t|"
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")

Row = Mapping[str, Any]


def read_rows(file: str) -> list[Row]:
    """The rows of a CSV file with a header, or of JSON: a list of objects, one object, or {"data": [...]}; `-` is standard input.

    Values of CSV are texts, and None where they are empty. Raises `InvalidRequestError` that names the file and the line.
    """
    name = "standard input" if file == STANDARD_INPUT else file
    text = _text(name, _content(file, name))
    rows = _from_json(name, text) if text.lstrip()[:1] in ("[", "{") else _from_csv(name, text)
    if not rows:
        raise InvalidRequestError(f"{name}: no row; a CSV header with rows below it, or JSON, would serve")
    return rows


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
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InvalidRequestError(f"{name}: no such file; a CSV or JSON file, or - for standard input, would serve") from error
    except OSError as error:
        raise BackendUnavailableError(f"{name}: can't be read ({error.strerror})") from error
    if len(content) > MAXIMUM_BYTES:
        raise InvalidRequestError(f"{name}: more than {MAXIMUM_BYTES:,} bytes; score it in parts")
    return content


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + content[: error.start].count(b"\n")
        raise InvalidRequestError(f"{name}, line {line}, byte {error.start}: not UTF-8 text; save the file as UTF-8") from error


def _from_json(name: str, text: str) -> list[Row]:
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


def _from_csv(name: str, text: str) -> list[Row]:
    header_line = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=header_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    rows: list[Row] = []
    try:
        for fields in reader:
            if header is None:
                header = _header(name, fields)
            elif fields:
                rows.append(_record(name, reader.line_num, header, fields))
    except csv.Error as error:
        raise InvalidRequestError(f"{name}, line {reader.line_num}: {error}; is a quotation mark not closed?") from error
    return rows


def _header(name: str, fields: Sequence[str]) -> list[str]:
    names = [field.strip() for field in fields]
    if not all(names) or len(set(names)) != len(names):
        raise InvalidRequestError(f"{name}, line 1: each column needs a name of its own")
    return names


def _record(name: str, line: int, header: Sequence[str], fields: Sequence[str]) -> Row:
    if len(fields) != len(header):
        raise InvalidRequestError(f"{name}, line {line}: {len(fields)} fields where the header has {len(header)}")
    return {column: field if field.strip() else None for column, field in zip(header, fields, strict=True)}


def _typed(value: object, kind: str, where: str) -> object:
    """A text as the endpoint wants it; what is no text was typed by its writer, and stays."""
    if not isinstance(value, str):
        return value
    try:
        if kind == "integer":
            return _integer(value)
        if kind == "number":
            return float(value)
        if kind == "boolean":
            return _boolean(value)
    except ValueError as error:
        raise InvalidRequestError(f"{where}: {value[:40]!r} where a value of type {kind} would serve") from error
    return value


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
