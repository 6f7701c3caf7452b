"""Any CSV or Parquet file becomes the same canonical table, or one line says where it is at fault and what would serve."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bankmlops.datasets import content_sha256, read_table
from bankmlops.errors import BackendUnavailableError, BankMLOpsError, InvalidRequestError

ROWS = [("30", "caf\u00e9", "yes"), ("41", "d\u00e9j\u00e0 vu", "no"), ("52", "na\u00efve", "yes")]


def _write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def _delimited(delimiter: str, newline: str = "\n") -> str:
    return newline.join(delimiter.join(record) for record in [("age", "word", "y"), *ROWS]) + newline


def _message(path: Path, kind: type[BankMLOpsError] = InvalidRequestError) -> str:
    with pytest.raises(kind) as caught:
        read_table(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_each_delimiter(tmp_path: Path, delimiter: str, newline: str) -> None:
    """Commas, semicolons, tabs and bars, with either line end, give the same table."""
    table = read_table(_write(tmp_path / "data.csv", _delimited(delimiter, newline)))
    assert table.schema == pa.schema({"age": pa.int64(), "word": pa.string(), "y": pa.string()})
    assert table.column("word").to_pylist() == [record[1] for record in ROWS]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_each_encoding(tmp_path: Path, encoding: str) -> None:
    """UTF-8 with and without its mark, UTF-16, UTF-32 and Windows-1252 give the same content."""
    rows = "".join(f"{30 + row},caf\u00e9 {row},yes\n" for row in range(200))
    table = read_table(_write(tmp_path / "data.csv", "age,word,y\n" + rows, encoding))
    plain = read_table(_write(tmp_path / "plain.csv", "age,word,y\n" + rows))
    assert content_sha256(table) == content_sha256(plain)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(("line", "delimiter"), [("sep=;\r\n", ";"), ('"sep=|"\n', "|"), ("SEP=:\n", ":")])
def test_the_line_that_names_the_delimiter(tmp_path: Path, encoding: str, line: str, delimiter: str) -> None:
    """Excel's first line names the delimiter, whichever it is, and is no row; lines are still counted from the file's start."""
    text = line + _delimited(delimiter)
    table = read_table(_write(tmp_path / "data.csv", text, encoding))
    assert table.column("age").to_pylist() == [30, 41, 52]
    ragged = _message(_write(tmp_path / "ragged.csv", f"{text}1{delimiter}2\n", encoding))
    assert "line 6: 2 fields where the header has 3" in ragged


def test_uci_file(tmp_path: Path) -> None:
    """UCI's own layout is read: semicolons, every text in quotation marks, dots in the names."""
    text = '"age";"job";"emp.var.rate";"y"\n' + '56;"housemaid; cleaner";1.1;"no"\n' + '57;"services";-0.1;"yes"\n'
    table = read_table(_write(tmp_path / "bank-additional-full.csv", text))
    assert table.to_pylist()[0] == {"age": 56, "job": "housemaid; cleaner", "emp.var.rate": 1.1, "y": "no"}


def test_delimiter_inside_text_does_not_mislead(tmp_path: Path) -> None:
    """Commas that stand in the texts of a semicolon file don't make it a comma file."""
    text = "price;note;y\n" + "1,5;a, b, c;no\n" * 3
    assert read_table(_write(tmp_path / "data.csv", text)).column_names == ["price", "note", "y"]


def test_late_values_widen_the_type(tmp_path: Path) -> None:
    """A column of whole numbers whose last row, megabytes later, is a fraction or a text is read as that throughout."""
    lines = "".join(f"{row},{row},no\n" for row in range(150_000))
    table = read_table(_write(tmp_path / "data.csv", f"a,b,y\n{lines}0.5,end,no\n"))
    assert [field.type for field in table.schema] == [pa.float64(), pa.string(), pa.string()]
    assert table.column("b")[0].as_py() == "0"


def test_dates_keep_their_spelling(tmp_path: Path) -> None:
    """Dates stay the text that they are in the file, and empty fields are missing."""
    table = read_table(_write(tmp_path / "data.csv", "day,n,y\n2024-01-02,1,no\n,,yes\n"))
    assert table.to_pydict() == {"day": ["2024-01-02", None], "n": [1, None], "y": ["no", "yes"]}


def test_names_lose_their_margins(tmp_path: Path) -> None:
    """Spaces around a column's name are no part of it."""
    assert read_table(_write(tmp_path / "data.csv", "age , y\n1,no\n")).column_names == ["age", "y"]


def test_parquet_types_become_canonical(tmp_path: Path) -> None:
    """Narrow, decimal, categorical and temporal Parquet columns become numbers and text; NaN becomes missing."""
    table = pa.table(
        {
            "small": pa.array([1, None], pa.int8()),
            "unsigned": pa.array([1, 2**64 - 1], pa.uint64()),
            "single": pa.array([0.5, float("nan")], pa.float32()),
            "category": pa.array(["a", "b"]).dictionary_encode(),
            "flag": pa.array([True, None]),
            "large": pa.array(["x", None], pa.large_string()),
            "day": pa.array([0, 1], pa.date32()),
        }
    )
    pq.write_table(table, tmp_path / "data.parquet")
    read = read_table(tmp_path / "data.parquet")
    assert [str(field.type) for field in read.schema] == ["int64", "double", "double", "string", "bool", "string", "string"]
    assert read.column("single").to_pylist() == [0.5, None]
    assert read.column("day").to_pylist() == ["1970-01-01", "1970-01-02"]


def test_parquet_is_known_by_its_content(tmp_path: Path) -> None:
    """A Parquet file is read as one whatever its name says."""
    pq.write_table(pa.table({"a": [1], "y": ["no"]}), tmp_path / "data.csv")
    assert read_table(tmp_path / "data.csv").to_pylist() == [{"a": 1, "y": "no"}]


_TEXT = st.one_of(st.none(), st.text("abc\u00e9\u6f22 ,;'\"", max_size=5).map("t{}".format))
_COLUMNS = {
    "n": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    "x": st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value + 0.5)),
    "b": st.one_of(st.none(), st.booleans()),
    "t": _TEXT,
}


@given(st.lists(st.fixed_dictionaries(_COLUMNS), min_size=2, max_size=30))
@settings(max_examples=40, deadline=None)
def test_csv_and_parquet_have_the_same_content(rows: list[dict[str, object]]) -> None:
    """The same table in CSV and in Parquet has the same content hash."""
    sure = {"n": 7, "x": 0.25, "b": True, "t": "t"}  # a column of nulls alone has no type in CSV
    types = {"n": pa.int64(), "x": pa.float64(), "b": pa.bool_(), "t": pa.string()}
    table = pa.Table.from_pylist([sure, {**sure, "x": 1e-300}, *rows], schema=pa.schema(types))
    with TemporaryDirectory() as name:
        paths = Path(name) / "data.csv", Path(name) / "data.parquet"
        pa.csv.write_csv(table, paths[0])
        pq.write_table(table, paths[1])
        assert content_sha256(read_table(paths[0])) == content_sha256(read_table(paths[1]))


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is named, with what would serve."""
    message = _message(tmp_path / "absent.csv")
    assert "no such file" in message
    assert "CSV or Parquet" in message


def test_folder(tmp_path: Path) -> None:
    """A folder is no table."""
    assert "a folder; a CSV or Parquet file would serve" in _message(tmp_path)


def test_path_under_a_file(tmp_path: Path) -> None:
    """A path that leads through a file is one line too."""
    (tmp_path / "file").write_text("x")
    assert "Not a directory" in _message(tmp_path / "file" / "data.csv", BackendUnavailableError)


def test_pipe_is_refused_at_once(tmp_path: Path) -> None:
    """A named pipe is refused, and not waited for."""
    os.mkfifo(tmp_path / "data.csv")
    answers: list[str] = []
    reader = threading.Thread(target=lambda: answers.append(_message(tmp_path / "data.csv")), daemon=True)
    reader.start()
    reader.join(20)
    assert answers
    assert "a pipe or a device; a CSV or Parquet file would serve" in answers[0]


def test_endless_device_is_refused() -> None:
    """A device that never ends is refused, and not read."""
    assert "a pipe or a device" in _message(Path("/dev/zero"))


def test_empty_file(tmp_path: Path) -> None:
    """A file of no bytes is empty."""
    assert "the file is empty; a CSV or Parquet file with a header and rows" in _message(_write(tmp_path / "data.csv", ""))


def test_blank_file(tmp_path: Path) -> None:
    """Line ends alone are no header."""
    assert "no header" in _message(_write(tmp_path / "data.csv", "\n\n\n"))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_header_alone(tmp_path: Path, suffix: str) -> None:
    """A header without rows is said to be that."""
    path = tmp_path / f"data.{suffix}"
    if suffix == "csv":
        path.write_text("a,b,y\n")
    else:
        pq.write_table(pa.table({"a": pa.array([], pa.int64())}), path)
    assert "a header but no rows" in _message(path)


@pytest.mark.parametrize("text", ["a", "a,y", "\ufeffa,y"])
def test_header_without_an_end(tmp_path: Path, text: str) -> None:
    """A header whose line does not end is one without rows too."""
    assert "a header but no rows" in _message(_write(tmp_path / "data.csv", text))


@pytest.mark.parametrize(("records", "line", "found"), [("1,2,no\n1,no\n", 3, 2), ("1,2,no\n\n1,2,3,no\n", 4, 4)])
def test_ragged_rows(tmp_path: Path, records: str, line: int, found: int) -> None:
    """A line that is too short or too long is named by its number in the file, blank lines counted."""
    message = _message(_write(tmp_path / "data.csv", "a,b,y\n" + records))
    assert f"line {line}: {found} fields where the header has 3" in message


def test_ragged_after_lines_in_quotation_marks(tmp_path: Path) -> None:
    """Line ends inside a text count as lines of the file."""
    message = _message(_write(tmp_path / "data.csv", 'a,b,y\n1,"two\nlines",no\n1,no\n'))
    assert "line 4: 2 fields where the header has 3" in message


def test_ragged_deep_in_the_file(tmp_path: Path) -> None:
    """A short line megabytes into the file is found by its number."""
    lines = "1,two,no\n" * 200_000
    assert "line 200002: 2 fields" in _message(_write(tmp_path / "data.csv", f"a,b,y\n{lines}1,no\n"))


@pytest.mark.parametrize("text", ['a,"b,y\n1,2,no\n', 'a,b,y\n1,"2,no\n1,2,no\n'])
def test_quotation_mark_that_is_not_closed(tmp_path: Path, text: str) -> None:
    """An open quotation mark is guessed, in the header and in a row."""
    message = _message(_write(tmp_path / "data.csv", text))
    assert "line 1" in message
    assert "is a quotation mark not closed?" in message


def test_duplicate_column_names(tmp_path: Path) -> None:
    """A name that is there twice is given with its places; spaces around it make no difference."""
    message = _message(_write(tmp_path / "data.csv", "age,job,age ,y\n1,2,3,no\n"))
    assert "line 1: the column name 'age' is there more than once (columns 1, 3); give each column a name of its own" in message


@pytest.mark.parametrize(("header", "position"), [("a,,y", 2), (" ,b,y", 1), ("a,b,", 3)])
def test_blank_column_names(tmp_path: Path, header: str, position: int) -> None:
    """A column without a name is given by its place."""
    message = _message(_write(tmp_path / "data.csv", f"{header}\n1,2,no\n"))
    assert f"line 1, column {position}: the column name is blank; give it a name" in message


def test_header_below_blank_lines(tmp_path: Path) -> None:
    """The line of the header is its line in the file."""
    assert "line 3, column 2: the column name is blank" in _message(_write(tmp_path / "data.csv", "\n\na,,y\n1,2,no\n"))


def test_parquet_column_names(tmp_path: Path) -> None:
    """Duplicate and blank names of a Parquet file are found as in CSV, without a line."""
    pq.write_table(pa.Table.from_arrays([pa.array([1])] * 2, names=["a", "a"]), tmp_path / "twice.parquet")
    pq.write_table(pa.table({" ": [1], "y": ["no"]}), tmp_path / "blank.parquet")
    assert "twice.parquet: the column name 'a' is there more than once (columns 1, 2)" in _message(tmp_path / "twice.parquet")
    assert "blank.parquet, column 1: the column name is blank" in _message(tmp_path / "blank.parquet")


def test_nested_parquet_column(tmp_path: Path) -> None:
    """A column of lists is named with what would serve."""
    pq.write_table(pa.table({"tags": [["a"]], "y": ["no"]}), tmp_path / "data.parquet")
    message = _message(tmp_path / "data.parquet")
    assert "column 'tags'" in message
    assert "numbers, booleans, dates or text would serve" in message


def test_parquet_bytes_that_are_no_text(tmp_path: Path) -> None:
    """A column of bytes is read where they are text, and is named where they are not."""
    pq.write_table(pa.table({"word": [b"caf\xc3\xa9"], "y": ["no"]}), tmp_path / "text.parquet")
    pq.write_table(pa.table({"word": [b"caf\xe9"], "y": ["no"]}), tmp_path / "bytes.parquet")
    assert read_table(tmp_path / "text.parquet").column("word").to_pylist() == ["caf\u00e9"]
    assert "column 'word': bytes that are not UTF-8 text; text or numbers would serve" in _message(tmp_path / "bytes.parquet")


@pytest.mark.parametrize("damage", ["truncated", "noise", "text", "magic"])
def test_damaged_parquet(tmp_path: Path, damage: str) -> None:
    """A Parquet file that is cut, overwritten, only a magic number, or no Parquet at all is said to be unreadable."""
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"a": list(range(5000)), "y": ["no"] * 5000}), path)
    content = path.read_bytes()
    damaged = {
        "truncated": content[: len(content) // 2],
        "noise": content[:100] + b"\xff" * (len(content) - 108) + content[-8:],
        "text": b"a,y\n1,no\n",
        "magic": b"PAR1",
    }
    path.write_bytes(damaged[damage])
    assert "not a readable Parquet file" in _message(path)
