"""Batch scoring judges values as the scoring service judges a row, and makes the same matrix of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bankmlops.batch.columns import fill, prepare, value_of
from bankmlops.batch.reading import chunks
from bankmlops.errors import InvalidRequestError
from bankmlops.features import ColumnKind, ColumnSpecification, FeatureSpecification, matrix_from_rows

SPECIFICATION = FeatureSpecification(
    columns=(
        ColumnSpecification("age", ColumnKind.INTEGER, fill=40.0, nullable=False),
        ColumnSpecification("rate", ColumnKind.NUMBER, fill=1.5, nullable=True),
        ColumnSpecification("job", ColumnKind.STRING, categories=("clerk", "student"), nullable=False),
        ColumnSpecification("city", ColumnKind.STRING, categories=("Bern", "Graz"), nullable=True),
        ColumnSpecification("owner", ColumnKind.BOOLEAN, categories=("False", "True"), nullable=False),
        ColumnSpecification("loan", ColumnKind.STRING, categories=("False", "True"), nullable=True),
        ColumnSpecification("code", ColumnKind.INTEGER, categories=("-3", "1", "2"), nullable=False),
        ColumnSpecification("share", ColumnKind.NUMBER, categories=("0.5", "2"), nullable=True),
        ColumnSpecification("when", ColumnKind.STRING, nullable=True, parts=("year", "hour"), fills=(2025.0, 11.5)),
    ),
    label_column="y",
    classes=("no", "yes"),
)
NUMBERS = (
    st.none() | st.floats(allow_nan=False, width=64) | st.integers(-(2**53), 2**53).map(float) | st.sampled_from([1e39, -3.0])
)
TEXTS = st.none() | st.sampled_from(["clerk", "student", "Bern", "", "nobody", "naïve"])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "age": NUMBERS,
            "rate": NUMBERS,
            "code": NUMBERS | st.sampled_from([1.0, 2.0]),
            "share": NUMBERS | st.sampled_from([0.5, 2.0]),
            "when": TEXTS | st.sampled_from(["2026-01-31", "2026-01-31T23:10:00-02:00"]),
            "job": TEXTS,
            "city": TEXTS,
            "owner": st.none() | st.booleans(),
            "loan": st.none() | st.booleans(),
        }
    ),
    min_size=1,
    max_size=8,
)
ROW = {
    "age": 1.0,
    "rate": 1.0,
    "job": "clerk",
    "city": "Bern",
    "owner": True,
    "loan": True,
    "code": 2.0,
    "share": 0.5,
    "when": "2026-01-31",
}


def _columns(rows: list[dict[str, Any]], *, text: bool) -> dict[str, pa.Array]:
    """The rows as Parquet holds them, or as text, which a CSV file holds (dictionary encoded)."""
    kinds = {
        "age": pa.float64(),
        "rate": pa.float64(),
        "code": pa.float64(),
        "share": pa.float64(),
        "owner": pa.bool_(),
        "loan": pa.bool_(),
    }
    columns = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if text:
            columns[name] = pa.array([None if value is None else _written(value) for value in values]).cast(pa.string())
            columns[name] = columns[name].dictionary_encode()
        else:
            columns[name] = pa.array(values, kinds.get(name, pa.string()))
    return columns


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _judged(row: dict[str, Any]) -> Any:
    try:
        return matrix_from_rows(SPECIFICATION, [row])[0]
    except InvalidRequestError as error:
        return str(error)


@given(ROWS, st.booleans())
@settings(max_examples=150, deadline=None)
def test_same_judgement_and_same_bytes(rows: list[dict[str, Any]], text: bool) -> None:
    """A row is at fault in batch exactly where the service refuses it, in the same column; the others' matrix is the same."""
    columns = _columns(rows, text=text)
    prepared = prepare(SPECIFICATION, columns)
    matrix = numpy.full((len(rows), SPECIFICATION.width), numpy.nan, dtype=numpy.float32)
    fill(matrix, prepared, 0, len(rows))
    for index, row in enumerate(rows):
        faults = [name for name, faulty in prepared.bad.items() if faulty[index]]
        judged = _judged(row)
        if faults:
            assert isinstance(judged, str), (faults, row)
            assert f"column {faults[0]!r}" in judged
        else:
            assert not isinstance(judged, str), judged
            assert judged.tobytes() == matrix[index].tobytes()


@given(
    st.lists(
        st.none() | st.text(max_size=12) | st.sampled_from(["a Good day", "good", "a nai\u0308ve day"]), min_size=1, max_size=8
    ),
    st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_words_are_the_same(texts: list[str | None], nullable: bool) -> None:
    """Texts read for their words make the service's matrix, encoded or not; a gap is at fault where training saw none."""
    column = ColumnSpecification("note", ColumnKind.STRING, nullable=nullable, words=("day", "good", "naïve"))
    specification = FeatureSpecification((column,), "y", ("no", "yes"))
    expected = matrix_from_rows(specification, [{"note": text if nullable else text or ""} for text in texts])
    for array in (pa.array(texts, pa.string()), pa.array(texts, pa.string()).dictionary_encode()):
        prepared = prepare(specification, {"note": array})
        matrix = numpy.full((len(texts), 3), numpy.nan, dtype=numpy.float32)
        fill(matrix, prepared, 0, len(texts))
        assert matrix.tobytes() == expected.tobytes()
        faulty = prepared.bad.get("note", numpy.zeros(len(texts), dtype=bool))
        assert faulty.tolist() == [text is None and not nullable for text in texts]


@pytest.mark.parametrize(
    ("column", "array"),
    [("age", [True]), ("rate", [["a"]]), ("job", [3]), ("job", [b"x"]), ("owner", [1.5])],
)
def test_a_column_of_the_wrong_type(column: str, array: list[Any]) -> None:
    """A column that holds another type altogether is refused as a whole, by its name."""
    columns = _columns([ROW], text=False) | {column: pa.array(array)}
    with pytest.raises(InvalidRequestError, match=f"column '{column}': .* would serve"):
        prepare(SPECIFICATION, columns)


@pytest.mark.parametrize(
    "moment", [pa.array([5 * 3600], pa.timestamp("s", zone)) for zone in (None, "UTC", "Etc/UTC", "Europe/Prague")]
)
def test_dates_and_all_null_columns(moment: pa.Array) -> None:
    """Dates are text, as in training, whatever a file holds them as; a column of nothing but nulls is missing values."""
    dates = {"city": pa.array([0], pa.date32()), "when": moment, "rate": pa.nulls(1), "loan": pa.nulls(1)}
    prepared = prepare(SPECIFICATION, _columns([ROW], text=False) | dates)
    matrix = numpy.empty((1, SPECIFICATION.width), dtype=numpy.float32)
    fill(matrix, prepared, 0, 1)
    assert not prepared.bad
    assert matrix[0].tolist() == [1.0, 1.5, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1970.0, 5.0]


@pytest.mark.parametrize(
    ("array", "shown"),
    [(pa.array(["12"]), 12.0), (pa.array(["x"]), "x"), (pa.array([float("nan")]), None), (pa.array([None], pa.string()), None)],
)
def test_a_value_as_json(array: pa.Array, shown: object) -> None:
    """A reason shows a value as a caller of the service would have sent it."""
    assert value_of(SPECIFICATION.columns[0], array, 0) == shown


def test_a_csv_is_read_as_training_reads_it(tmp_path: Path) -> None:
    """Empty fields and `NA` are missing, spaces around a number don't matter, and a chunk with one bad word keeps the rest."""
    (tmp_path / "rows.csv").write_text(
        "loan,owner,city,job,rate,age,id,share,code,when\n"
        "true,TRUE,NA,clerk, 2.5 ,30,a,,-3,\n"
        ",0,Graz,student,,x,b,1,1,2026-01-31\n"
        "False,false,Bern,clerk,1e2,31.0,c, 2.0,7,2027-01-31 10:00\n"
    )
    (chunk,) = chunks([tmp_path / "rows.csv"], SPECIFICATION)
    rows = chunk.load()
    prepared = prepare(SPECIFICATION, rows.columns)
    matrix = numpy.empty((3, SPECIFICATION.width), dtype=numpy.float32)
    fill(matrix, prepared, 0, 3)
    assert {name: faulty.tolist() for name, faulty in prepared.bad.items()} == {"age": [False, True, False]}
    assert matrix[0].tolist() == [30.0, 2.5, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 2025.0, 11.5]
    assert matrix[2].tolist() == [31.0, 100.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2027.0, 10.0]
    assert rows.count == 3
