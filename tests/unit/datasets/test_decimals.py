"""Decimal commas are read as numbers where nothing speaks against it, over the whole file, and it is said."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from bankmlops.datasets import content_sha256, decimal_comma_columns, decimal_points, read_table


def _table(folder: Path, values: list[str], delimiter: str = ";") -> pa.Table:
    """A column `n` with these values, and one of texts with commas."""
    path = folder / "data.csv"
    lines = [delimiter.join((f'"{value}"', f'"text, {number}"', "no")) for number, value in enumerate(values)]
    path.write_text("\n".join([delimiter.join(("n ", "t", "y")), *lines]) + "\n")
    return read_table(path)


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (["1234,56", "0,5", "-3", ""], [1234.56, 0.5, -3.0, None]),
        (["1.234,5", "1.234", "12.345.678,25", " 7,0 "], [1234.5, 1234.0, 12345678.25, 7.0]),
        ([",5", "1,5E+3", "-,25", "NA"], [0.5, 1500.0, -0.25, None]),
        (["1,234", "2,500"], [1.234, 2.5]),
    ],
)
def test_decimal_commas(tmp_path: Path, values: list[str], numbers: list[float | None]) -> None:
    """Where semicolons divide the fields, a column of nothing but such numbers is numbers, and gaps stay gaps."""
    table = _table(tmp_path, values)
    assert table.column("n").to_pylist() == numbers
    assert table.column("t").type == pa.string()
    assert decimal_comma_columns(table) == ("n",)


@pytest.mark.parametrize("values", [["1,5", "k.A."], ["1,5", "2.5"], ["1,2,3", "4,5"], ["01,5", "02,5"], ["1.2.3", "1,5"]])
def test_what_is_no_column_of_decimal_commas(tmp_path: Path, values: list[str]) -> None:
    """One value that is something else, the last one too, leaves the column the text that it is."""
    table = _table(tmp_path, ["7,5"] * 1000 + values)
    assert table.column("n").to_pylist()[-2:] == values
    assert decimal_comma_columns(table) == ()


def test_points_keep_their_meaning(tmp_path: Path) -> None:
    """Without a decimal comma in the column, a point is a decimal point."""
    assert _table(tmp_path, ["1.234", "2.5"]).column("n").to_pylist() == [1.234, 2.5]


def test_commas_that_divide_fields_are_none(tmp_path: Path) -> None:
    """In a file of commas 1,5 in quotation marks stays text."""
    assert _table(tmp_path, ["1,5", "2,5"], ",").column("n").to_pylist() == ["1,5", "2,5"]


@pytest.mark.parametrize("delimiter", ["\t", "|"])
def test_english_thousands(tmp_path: Path, delimiter: str) -> None:
    """Beside tabs and bars 1,234 may be a thousand: such a column is text, unless a value shows a decimal comma."""
    assert _table(tmp_path, ["1,234", "56"], delimiter).column("n").to_pylist() == ["1,234", "56"]
    assert _table(tmp_path, ["1,234", "5,6"], delimiter).column("n").to_pylist() == [1.234, 5.6]


def test_same_content_as_with_points(tmp_path: Path) -> None:
    """The content is that of the same table with decimal points."""
    with_commas = _table(tmp_path, ["1,5", "1.000,25"])
    assert content_sha256(with_commas) == content_sha256(_table(tmp_path, ["1.5", "1000.25"]))


def test_a_column_to_be_text(tmp_path: Path) -> None:
    """A column that is asked for as text is as it is written."""
    _table(tmp_path, ["1,5", "01"])
    table = read_table(tmp_path / "data.csv", ["n"])
    assert table.column("n").to_pylist() == ["1,5", "01"]
    assert decimal_comma_columns(table) == ()


@pytest.mark.parametrize(
    ("texts", "delimiter", "expected"),
    [
        (["1.234,5", "1.234", None, "x"], ";", ["1234.5", "1234", None, "x"]),
        (["1,5", "2.5"], ";", ["1,5", "2.5"]),
        (["1.234"], ";", ["1.234"]),
        (["1,5"], ",", ["1,5"]),
    ],
)
def test_rows_to_score(texts: list[str | None], delimiter: str, expected: list[str | None]) -> None:
    """Values of a column that is known to hold numbers have points, unless the column shows points already."""
    assert decimal_points(texts, delimiter) == expected
