"""Find a text file's encoding without guessing where bytes are plainly broken.

UTF-8, UTF-16 and UTF-32 prove themselves. A file that is none of them is taken as Windows-1252 (Latin-1's superset) where most of
its letters are ASCII, and as what charset-normalizer finds where they are not. UTF-8 with a few other bytes is broken,
and so is one with bytes that no text holds: the message names the line and the byte.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from charset_normalizer import from_bytes

from bankmlops.errors import InvalidRequestError

CHUNK_BYTES = 1 << 20
MAXIMUM_FOREIGN_SHARE = 0.3

_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_HIGH = re.compile(rb"[\x80-\xff]")
_LETTER = re.compile(rb"[A-Za-z\x80-\xff]")
# Control characters other than tab, line feed, form feed and carriage return.
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f]")
# Bytes that Windows-1252 leaves undefined, and 0xFF, which stands in binary files and not in Western text.
_UNDEFINED = re.compile(rb"[\x81\x8d\x8f\x90\x9d\xff]")
# In this order: the mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# How files begin that are no text, what they are and what would serve.
_OTHER_FILES = (
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"PK\x03\x04", "an Excel workbook or another ZIP archive; save the sheet as CSV UTF-8, or unpack the archive first"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save the sheet as CSV UTF-8"),
    (b"PAR1", "a Parquet file and no text; it is read as one where Parquet files are taken, otherwise write it as CSV"),
)


def detect_encoding(path: Path) -> str:
    """The name of Python's codec that reads the whole file. Raises `InvalidRequestError` with line and byte where none does."""
    head = _window(path, 0)
    other = other_file(head)
    if other:
        raise InvalidRequestError(f"{path}: {other}")
    marked = next((encoding for mark, encoding in _MARKS if head.startswith(mark)), "") or _utf16_without_mark(head)
    if marked:
        return _checked(path, marked)
    broken = _first_undecodable(path, "utf-8")
    if broken is None:
        _refuse_bytes(path, _CONTROL, "UTF-8 text")
        return "utf-8"
    window = _window(path, broken)
    if _is_mostly_utf8(window):
        raise _broken(path, broken, "UTF-8 text")
    return _single_byte(path, window)


def other_file(head: bytes) -> str:
    """What a file that begins so is, and what would serve; "" where it may be text."""
    return next((what for magic, what in _OTHER_FILES if head.startswith(magic)), "")


def _utf16_without_mark(head: bytes) -> str:
    half = len(head) // 2
    if half and head[1::2].count(0) > half / 2 > head[0::2].count(0):
        return "utf-16-le"
    if half and head[0::2].count(0) > half / 2 > head[1::2].count(0):
        return "utf-16-be"
    return ""


def _is_mostly_utf8(window: bytes) -> bool:
    sequences = _MULTIBYTE.findall(window)
    return 2 * len(sequences) > len(_HIGH.findall(window)) - sum(map(len, sequences))


def _single_byte(path: Path, window: bytes) -> str:
    _refuse_bytes(path, _CONTROL, "text")
    if len(_HIGH.findall(window)) <= MAXIMUM_FOREIGN_SHARE * len(_LETTER.findall(window)):
        _refuse_bytes(path, _UNDEFINED, "UTF-8, UTF-16 or Windows-1252 text")
        return "cp1252"
    best = from_bytes(window).best()
    if best is None:
        raise InvalidRequestError(f"{path}: the text's encoding can't be told; save the file as UTF-8")
    return _checked(path, best.encoding)


def _checked(path: Path, encoding: str) -> str:
    broken = _first_undecodable(path, encoding)
    if broken is not None:
        raise _broken(path, broken, f"{encoding} text")
    return encoding


def _first_undecodable(path: Path, encoding: str) -> int | None:
    """The offset of the first byte that the codec can't read."""
    decoder = codecs.getincrementaldecoder(encoding)()
    offset = 0
    try:
        for chunk in _chunks(path):
            pending = len(decoder.getstate()[0])
            start = offset - pending
            decoder.decode(chunk)
            offset += len(chunk)
        start = offset - len(decoder.getstate()[0])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        return start + error.start
    return None


def _refuse_bytes(path: Path, pattern: re.Pattern[bytes], expected: str) -> None:
    offset = 0
    for chunk in _chunks(path):
        match = pattern.search(chunk)
        if match:
            raise _broken(path, offset + match.start(), expected)
        offset += len(chunk)


def _broken(path: Path, offset: int, expected: str) -> InvalidRequestError:
    with path.open("rb") as file:
        line = 1 + file.read(offset).count(b"\n")
        value = file.read(1)
    found = f"0x{value.hex().upper()}" if value else "the end of the file"
    return InvalidRequestError(
        f"{path}, line {line}, byte {offset}: {found} is not {expected}; the encoding is broken, save the file as UTF-8"
    )


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _window(path: Path, offset: int) -> bytes:
    """Up to one chunk of whole lines around `offset` (the file's head where that is near)."""
    start = max(0, offset - CHUNK_BYTES // 2)
    with path.open("rb") as file:
        file.seek(start)
        window = file.read(CHUNK_BYTES)
    if start:
        window = window[window.find(b"\n") + 1 :]
    if len(window) >= CHUNK_BYTES // 2:
        window = window[: window.rfind(b"\n") + 1] or window
    return window
