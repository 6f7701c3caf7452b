"""Cuts a CSV file into chunks of whole records, reading it once: each chunk can then be parsed by itself, on any core.

A record ends at a line feed with an even number of quotation marks before it (RFC 4180: a mark inside a field is doubled).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bankmlops.datasets.delimited import delimiter_line, detect_delimiter
from bankmlops.datasets.encodings import detect_encoding
from bankmlops.datasets.reading import check_names
from bankmlops.errors import InvalidRequestError

CHUNK_BYTES = 4 * 2**20
_LOOK_BYTES = 64 * 2**10
MAXIMUM_RECORD_BYTES = 64 * 2**20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Delimited:
    """How a CSV file is written: its columns in order, and the byte where its first row begins."""

    path: Path
    encoding: str
    delimiter: str
    header: tuple[str, ...]
    start: int


def describe(path: Path) -> Delimited:
    """Look at a CSV file's encoding, delimiter and header. Raises `InvalidRequestError`, and `OSError`."""
    encoding = "utf-8" if _is_ascii(path) else detect_encoding(path)
    if encoding.startswith(("utf-16", "utf-32", "utf_16", "utf_32")):
        raise InvalidRequestError(f"{path}: {encoding} text can't be scored in chunks; save the file as UTF-8")
    delimiter = detect_delimiter(path, encoding)
    plain = "utf-8" if encoding == "utf-8-sig" else encoding
    with path.open("rb") as file:
        start = len(_BYTE_ORDER_MARK) if file.read(3) == _BYTE_ORDER_MARK else 0
        file.seek(start)
        line = _header_line(path, file)
        if delimiter_line(line.decode(plain)):
            line = _header_line(path, file)
        start = file.tell()
    header = next(csv.reader(io.StringIO(line.decode(plain), newline=""), delimiter=delimiter), [])
    if not header:
        raise InvalidRequestError(f"{path}: no header; a first line of column names would serve")
    check_names(f"{path}, header", header)
    return Delimited(path, plain, delimiter, tuple(name.strip() for name in header), start)


def cut(delimited: Delimited, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytearray]:
    """The rows in chunks of about `chunk_bytes`, always cut at the same places. Raises `InvalidRequestError`, and `OSError`."""
    with delimited.path.open("rb") as file:
        file.seek(delimited.start)
        rest = bytearray()
        while len(content := _longer(rest, file, chunk_bytes)) > len(rest):
            end = _last_end(content)
            rest = content[end:]
            if end:
                del content[end:]
                yield content
            elif len(content) > MAXIMUM_RECORD_BYTES:
                raise _endless(delimited.path, file.tell() - len(content))
    if rest.strip():
        yield rest


def _longer(beginning: bytearray, file: io.BufferedReader, count: int) -> bytearray:
    """The beginning and at most so many bytes of the file, which are read to where they stay."""
    content = bytearray(len(beginning) + count)
    content[: len(beginning)] = beginning
    with memoryview(content) as view:
        size = len(beginning) + file.readinto(view[len(beginning) :])
    del content[size:]
    return content


def _is_ascii(path: Path) -> bool:
    """A quick look that spares most files the thorough one; UTF-16 without its mark has zeros among its letters."""
    with path.open("rb") as file:
        content = file.read(_LOOK_BYTES)
        if b"\0" in content:
            return False
        while content and content.isascii():
            content = file.read(_LOOK_BYTES)
    return not content


def _header_line(path: Path, file: BinaryIO) -> bytes:
    """The first record that is not blank."""
    record = b""
    while line := file.readline(MAXIMUM_RECORD_BYTES):
        record += line
        if len(record) > MAXIMUM_RECORD_BYTES:
            raise _endless(path, 0)
        if record.count(b'"') % 2 == 0 and record.strip():
            break
        record = record if record.strip() else b""
    return record


def _last_end(content: bytearray) -> int:
    """The place after the last record that ends in `content`, which starts with one; 0 where none ends."""
    end = content.rfind(b"\n") + 1
    marks = content.count(b'"', 0, end)
    while end and marks % 2:
        before = content.rfind(b"\n", 0, end - 1) + 1
        marks -= content.count(b'"', before, end)
        end = before
    return end


def _endless(path: Path, offset: int) -> InvalidRequestError:
    return InvalidRequestError(
        f"{path}, byte {offset:,}: a record of more than {MAXIMUM_RECORD_BYTES:,} bytes; is a quotation mark not closed?"
    )
