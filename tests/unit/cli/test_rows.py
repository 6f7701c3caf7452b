"""Rows to score, read from what a person has at hand."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bankmlops.cli import rows
from bankmlops.cli.following import new_lines
from bankmlops.cli.rows import NUMBERS, PART_BYTES, as_described, parts, read_rows
from bankmlops.datasets import columns_of, read_table
from bankmlops.errors import InvalidRequestError
from bankmlops.features import fit, matrix_from_columns, matrix_from_rows


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
        "sep=;\r\nage;job\r\n20;student\r\n70;NA\r\n",
        "\nage|job\n20|student\n70|null\n",
        "age;job\n20;student\n70;\n".encode("utf-16"),
    ],
)
def test_csv(tmp_path: Path, content: str | bytes) -> None:
    """CSV in its usual shapes is read as texts, with None where a field is missing."""
    assert _read(tmp_path, content) == [{"age": "20", "job": "student"}, {"age": "70", "job": None}]


TRAINED = [
    ["Größe, netto, cm", "rate", "job", "owner", "y"],
    *(
        [str(150 + row), rate, ("Schüler", "clerk", "NULL")[row % 3], ("true", "False", "")[row % 3], "yes" if row % 2 else "no"]
        for row, rate in enumerate(("1.5", "2.25", "NA", "NaN", "") * 12)
    ),
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize(("delimiter", "point"), [(";", "."), (";", ","), ("\t", ",")])
def test_the_file_that_trained(tmp_path: Path, encoding: str, delimiter: str, point: str) -> None:
    """Read for scoring, a file is the very matrix that training made of it, however it is written."""
    file = tmp_path / "trained.csv"
    lines = [delimiter.join([fields[0], fields[1].replace(".", point), *fields[2:]]) for fields in TRAINED]
    file.write_text("\n".join(lines) + "\n", encoding=encoding)
    columns = columns_of(read_table(file))
    specification = fit(columns, "y")
    types = {column.name: str(column.kind) for column in specification.columns}
    assert types == {"Größe, netto, cm": "integer", "rate": "number", "job": "string", "owner": "string"}
    read = as_described(read_rows(str(file), [name for name, kind in types.items() if kind in NUMBERS]), types)
    assert matrix_from_rows(specification, read).tobytes() == matrix_from_columns(specification, columns).tobytes()


@pytest.mark.parametrize(
    "content",
    ['[{"age": 20, "job": null}]', '{"data": [{"age": 20, "job": null}]}', ' {"age": 20, "job": null}'],
)
def test_json(tmp_path: Path, content: str) -> None:
    """JSON is a list of rows, one row, or a whole request."""
    assert _read(tmp_path, content) == [{"age": 20, "job": None}]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash is standard input, and what is wrong with it bears that name."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"age,job\n20,student\n")))
    assert read_rows("-") == [{"age": "20", "job": "student"}]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("age,job\n20,schüler\n".encode() + b"30,sch\xfcler\n")))
    with pytest.raises(InvalidRequestError, match=r"^standard input, line 3, byte 26"):
        read_rows("-")


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
        ("age,job\n20,schüler\n".encode() + b"30,sch\xfcler\n", "line 3, byte 26: 0xFC is not UTF-8 text"),
        (b'[{"job": "sch\xfcler"}]', "line 1, byte 13: not UTF-8"),
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
    """A file that is not there is refused by name."""
    with pytest.raises(InvalidRequestError, match=r"nothing\.csv: no such file"):
        read_rows(str(tmp_path / "nothing.csv"))


def test_what_is_for_whole_files(tmp_path: Path) -> None:
    """Of a Parquet file and of a folder the line says which command takes it."""
    pq.write_table(pa.table({"age": [20]}), tmp_path / "rows.parquet")
    for path, what in ((tmp_path / "rows.parquet", "a Parquet file"), (tmp_path, "a folder")):
        with pytest.raises(InvalidRequestError, match=f"{path}: {what}; `bankmlops score --model NAME --input"):
            read_rows(str(path))


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
        {"age": None, "rate": " "},
    ]
    assert as_described(given, types) == [
        {"age": 20, "rate": 1.5, "member": True, "job": "007"},
        {"age": 20.5, "rate": 3, "member": False, "job": None},
        {"age": None, "rate": None},
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
