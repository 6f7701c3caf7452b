"""An encoding is found, or the line and the byte that no text holds are named."""

from __future__ import annotations

import gzip
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bankmlops.datasets.encodings import CHUNK_BYTES, detect_encoding
from bankmlops.errors import InvalidRequestError


def _message(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(InvalidRequestError) as caught:
        detect_encoding(path)
    assert str(path) in str(caught.value)
    assert "save the file as UTF-8" in str(caught.value)
    return str(caught.value)


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=200))
@settings(max_examples=60, deadline=None)
def test_utf8_is_never_taken_for_something_else(text: str) -> None:
    """Whatever valid text a file holds in UTF-8, it is read as that text."""
    with NamedTemporaryFile() as file:
        file.write(f"a,b\n{text}\n".encode())
        file.flush()
        assert detect_encoding(Path(file.name)) == "utf-8"


def test_a_few_broken_bytes_are_not_another_encoding(tmp_path: Path) -> None:
    """UTF-8 with one broken byte is broken at that line, and not Windows-1252."""
    content = b"name,y\n" + "caf\u00e9,no\n".encode() * 50 + b"caf\xe9,no\n"
    message = _message(tmp_path / "data.csv", content)
    assert f"line 52, byte {content.rindex(0xE9)}: 0xE9 is not UTF-8 text; the encoding is broken" in message


def test_a_character_cut_at_the_end(tmp_path: Path) -> None:
    """A file that ends inside a character is broken at its last line."""
    message = _message(tmp_path / "data.csv", ("caf\u00e9\n" * 20 + "caf\u00e9").encode()[:-1])
    assert "line 21" in message


def test_a_broken_byte_beyond_the_first_chunk(tmp_path: Path) -> None:
    """The byte is counted from the file's start, however far into it, also where a character lies across two chunks."""
    line = "\u00e9\u6f22x,no\n".encode()
    content = line * (CHUNK_BYTES // len(line) + 2) + b"\xff,no\n"
    message = _message(tmp_path / "data.csv", content)
    assert f"line {content.count(10)}, byte {len(content) - 5}: 0xFF" in message


@pytest.mark.parametrize("control", [b"\x00", b"\x01", b"\x1b"])
def test_control_characters(tmp_path: Path, control: bytes) -> None:
    """Bytes that no text holds are refused where they stand."""
    assert f"line 2, byte 5: 0x{control.hex().upper()}" in _message(tmp_path / "data.csv", b"a,y\n1" + control + b",no\n")


def test_undefined_bytes_of_windows_1252(tmp_path: Path) -> None:
    """A byte that Windows-1252 leaves undefined is not guessed around."""
    assert "line 2, byte 7: 0x81 is not UTF-8, UTF-16 or Windows-1252 text" in _message(
        tmp_path / "data.csv", b"a,y\ncaf\x81,no\n"
    )


def test_utf16_that_ends_in_half_a_character(tmp_path: Path) -> None:
    """UTF-16 with an odd number of bytes is broken at its end."""
    assert "line 2, byte 18: 0x0A is not utf-16 text" in _message(tmp_path / "data.csv", "a,y\n1,no\n".encode("utf-16")[:-1])


def test_foreign_letters_are_told_apart(tmp_path: Path) -> None:
    """Text that is mostly non-Latin letters in an eight-bit encoding is not read as Windows-1252."""
    text = (
        "\u0438\u043c\u044f,y\n"
        + "\u041c\u043e\u0441\u043a\u0432\u0430 \u0438 \u041f\u0435\u0442\u0435\u0440\u0431\u0443\u0440\u0433,\u0434\u0430\n" * 50
    )
    path = tmp_path / "data.csv"
    path.write_bytes(text.encode("cp1251"))
    assert path.read_text(encoding=detect_encoding(path)) == text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (gzip.compress(b"a,y\n1,no\n", mtime=0), "compressed with gzip; unpack it first"),
        (b"PK\x03\x04\x14\x00\x06\x00workbook", "an Excel workbook or another ZIP archive; save the sheet as CSV UTF-8"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook; save the sheet as CSV UTF-8"),
        (b"PAR1\x15\x04\x15", "a Parquet file and no text"),
    ],
)
def test_files_that_are_no_text(tmp_path: Path, content: bytes, expected: str) -> None:
    """An archive, a workbook and a Parquet file are called what they are, and not text with a broken byte."""
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    with pytest.raises(InvalidRequestError) as caught:
        detect_encoding(path)
    assert str(caught.value).startswith(f"{path}: {expected}")
