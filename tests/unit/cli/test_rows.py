"""Rows to score, read from what a person has at hand."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from bankmlops.cli import rows
from bankmlops.cli.following import new_lines
from bankmlops.cli.rows import PART_BYTES, as_described, parts, read_rows
from bankmlops.errors import InvalidRequestError


def _read(folder: Path, content: str | bytes) -> list[dict[str, object]]:
    file = folder / "rows"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return [dict(row) for row in read_rows(str(file))]


@pytest.mark.parametrize(
    "content",
    [
        "age,job\n20,student\n70,\n",
        "age;job\r\n20;student\r\n70;\r\n",
        "age\tjob\n20\tstudent\n\n70\t\n",
        '\ufeff"age","job"\n"20","student"\n70,""\n',
    ],
)
def test_csv(tmp_path: Path, content: str) -> None:
    """CSV in its usual shapes is read as texts, with None where a field is empty."""
    assert _read(tmp_path, content) == [{"age": "20", "job": "student"}, {"age": "70", "job": None}]


@pytest.mark.parametrize(
    "content",
    ['[{"age": 20, "job": null}]', '{"data": [{"age": 20, "job": null}]}', ' {"age": 20, "job": null}'],
)
def test_json(tmp_path: Path, content: str) -> None:
    """JSON is a list of rows, one row, or a whole request."""
    assert _read(tmp_path, content) == [{"age": 20, "job": None}]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash is standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"age,job\n20,student\n")))
    assert read_rows("-") == [{"age": "20", "job": "student"}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no row"),
        ("age,job\n", "no row"),
        ("[]", "no row"),
        ("age,job\n20\n", "line 2: 1 fields where the header has 2"),
        ("age,age\n20,30\n", "line 1"),
        ("age,\n20,30\n", "line 1"),
        ('age,job\n20,"student\n', "quotation mark"),
        ("age,job\n20,sch\xfcler\n".encode("latin-1"), "line 2, byte 14: not UTF-8"),
        ('[{"age": 20]', "not JSON"),
        ("[1, 2]", "list of objects"),
        ('{"data": 7}', "list of objects"),
        ("[" * 100_000, "deeply"),
    ],
)
def test_what_can_not_be_read(tmp_path: Path, content: str | bytes, said: str) -> None:
    """What is no table of rows is refused in one line that names the file and the place."""
    with pytest.raises(InvalidRequestError, match=said) as caught:
        _read(tmp_path, content)
    assert str(tmp_path / "rows") in str(caught.value)


def test_no_such_file(tmp_path: Path) -> None:
    """A file that is not there, or a folder, is refused by name."""
    for name in (tmp_path / "nothing.csv", tmp_path):
        with pytest.raises(InvalidRequestError, match="no such file"):
            read_rows(str(name))


def test_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file beyond the bound is refused."""
    monkeypatch.setattr(rows, "MAXIMUM_BYTES", 10)
    with pytest.raises(InvalidRequestError, match="in parts"):
        _read(tmp_path, "age,job\n20,student\n")


def test_types() -> None:
    """Texts become what the endpoint takes; columns that it doesn't know are left out, and other values stay as they are."""
    types = {"age": "integer", "rate": "number", "member": "boolean", "job": "string"}
    given = [
        {"age": "20", "rate": "1.5", "member": "True", "job": "007", "y": "no"},
        {"age": "20.5", "rate": 3, "member": "no", "job": None},
        {"age": None},
    ]
    assert as_described(given, types) == [
        {"age": 20, "rate": 1.5, "member": True, "job": "007"},
        {"age": 20.5, "rate": 3, "member": False, "job": None},
        {"age": None},
    ]


def test_no_types() -> None:
    """Where the endpoint describes no columns the rows stay as they are."""
    assert as_described([{"age": "20"}], {}) == [{"age": "20"}]


@pytest.mark.parametrize(("kind", "value"), [("integer", "old"), ("number", "1,5"), ("boolean", "maybe")])
def test_values_of_another_type(kind: str, value: str) -> None:
    """A text that is no such value is refused by row and column."""
    with pytest.raises(InvalidRequestError, match=f"row 1, column 'age': '{value}' where a value of type {kind}"):
        as_described([{"age": None}, {"age": value}], {"age": kind})


@pytest.mark.parametrize(
    ("before", "after", "new"),
    [
        ([], ["a"], ["a"]),
        (["a"], ["a"], []),
        (["a", "b"], ["a", "b", "c"], ["c"]),
        (["a", "b"], ["b", "c"], ["c"]),
        (["a", "a"], ["a", "a", "a"], ["a"]),
        (["a", "b"], ["x", "y"], ["x", "y"]),
        (["a"], [], []),
    ],
)
def test_new_lines(before: list[str], after: list[str], new: list[str]) -> None:
    """What a log has gained is found, though its oldest lines have gone."""
    assert list(new_lines(before, after)) == new


def test_parts_are_bounded_in_bytes() -> None:
    """Long rows go in parts of about 4 MiB, none is lost, and one that is longer still goes alone."""
    rows = [{"text": "x" * (PART_BYTES // 3)}] * 5 + [{"text": "y" * PART_BYTES}]
    made = list(parts(rows))
    assert [len(part) for part in made] == [2, 2, 1, 1]
    assert [row for part in made for row in part] == rows
    assert list(parts([])) == []
