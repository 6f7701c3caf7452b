"""The promise that training and scoring share their features: the same rows give the same bytes on both sides."""

from __future__ import annotations

import json
import math
import tracemalloc
import unicodedata
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bankmlops.datasets import columns_of
from bankmlops.datasets.synthetic_bank import bank_rows
from bankmlops.errors import InvalidRequestError
from bankmlops.features import FeatureSpecification, fit, matrix_from_columns, matrix_from_rows
from bankmlops.features.profile import profile_of
from bankmlops.types import UnknownCategories

Row = dict[str, Any]

_NUMBERS = st.one_of(st.floats(allow_nan=False), st.floats(width=32, allow_nan=False), st.sampled_from([16777217.0, 1e39, -0.0]))
_TEXTS = st.one_of(st.sampled_from(["a", "b", "true", "1", " a", ""]), st.text(max_size=4))
_DATES = st.one_of(
    st.datetimes(timezones=st.sampled_from([None, UTC, timezone(timedelta(hours=-11, minutes=-30))])).map(datetime.isoformat),
    st.dates().map(date.isoformat),
)
_NOTES = st.one_of(
    st.lists(st.sampled_from(["Good", "good", "bad", "not", "naïve", "nai\u0308ve", "ß", "x_1", "42"]), max_size=5).map(" ".join),
    st.text(max_size=12),
)
_ROW = st.fixed_dictionaries(
    {
        "whole": st.integers(-(2**63), 2**63 - 1),
        "code": st.one_of(st.integers(-3, 3), st.sampled_from([2**53, 2**53 + 1, -(2**62)])),
        "rate": st.one_of(st.none(), st.sampled_from([0.1, 0.5, -0.0, 0.0, 3.0, 1e39]), _NUMBERS),
        "gap": st.one_of(st.none(), st.integers(-100, 2**60)),
        "number": st.one_of(st.none(), _NUMBERS),
        "flag": st.booleans(),
        "perhaps": st.one_of(st.none(), st.booleans()),
        "text": st.one_of(st.none(), _TEXTS),
        "when": st.one_of(st.none(), _DATES),
        "note": st.one_of(st.none(), _NOTES),
        "y": st.sampled_from(["no", "yes"]),
    }
)
_SCHEMA = pa.schema(
    {
        "whole": pa.int64(),
        "code": pa.int64(),
        "rate": pa.float64(),
        "gap": pa.int64(),
        "number": pa.float64(),
        "flag": pa.bool_(),
        "perhaps": pa.bool_(),
        "text": pa.string(),
        "when": pa.string(),
        "note": pa.string(),
        "y": pa.string(),
    }
)


def _columns(rows: list[Row]) -> dict[str, numpy.ndarray[Any, Any]]:
    return columns_of(pa.Table.from_pylist(rows, schema=_SCHEMA))


def _fitted(rows: list[Row]) -> FeatureSpecification:
    try:
        return fit(_columns(rows), "y", ("code", "rate"), ("note",))
    except InvalidRequestError:  # every column is constant
        assume(False)
        raise


def _through_json(rows: list[Row]) -> list[Row]:
    received: list[Row] = json.loads(json.dumps(rows))
    return received


def _wholes_as_fractions(rows: list[Row]) -> list[Row]:
    """As JavaScript or pandas with gaps sends whole numbers: 3.0 for 3."""
    wholes = {"whole", "code", "gap"}
    return [
        {name: float(value) if name in wholes and value is not None else value for name, value in row.items()} for row in rows
    ]


@pytest.mark.parametrize("spelling", [_through_json, _wholes_as_fractions], ids=["json", "fractions"])
@given(st.lists(_ROW, min_size=2, max_size=12), st.lists(_ROW, min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_training_and_scoring_agree(spelling: Callable[[list[Row]], list[Row]], seen: list[Row], new: list[Row]) -> None:
    """Rows that fitting saw and rows that it didn't give byte-identical matrices by columns and, through JSON, by rows."""
    specification = FeatureSpecification.from_json(_fitted(seen).to_json())
    for rows in (_that_serve(specification, seen), _that_serve(specification, new)):
        trained = matrix_from_columns(specification, _columns(rows))
        scored = matrix_from_rows(specification, _through_json(spelling(rows)))
        assert trained.dtype == scored.dtype == numpy.float32
        assert trained.shape == scored.shape == (len(rows), specification.width)
        assert trained.tobytes() == scored.tobytes()
        assert numpy.isfinite(trained).all()


def _that_serve(specification: FeatureSpecification, rows: list[Row]) -> list[Row]:
    """Those with no gap where fitting saw none, and no number that float32 can't hold."""
    whole = {column.name for column in specification.columns if not column.nullable}
    return [row for row in rows if not (_gaps(row) & whole or _overflows(row["number"]) or _overflows(row["rate"]))]


def _gaps(row: Row) -> set[str]:
    return {name for name, value in row.items() if value is None}


def _overflows(number: float | None) -> bool:
    with numpy.errstate(over="ignore"):
        return number is not None and not numpy.isfinite(numpy.float32(number))


@given(st.lists(_ROW, min_size=2, max_size=12), _ROW)
@settings(max_examples=60, deadline=None)
def test_what_training_did_not_hold_is_refused(seen: list[Row], row: Row) -> None:
    """A gap in a column without gaps, and a number that float32 can't hold, are refused by row and column; all else is taken."""
    specification = _fitted(seen)
    names = {column.name for column in specification.columns}
    whole = {column.name for column in specification.columns if not column.nullable}
    overflowing = {name for name in ("number", "rate") if name in names and _overflows(row[name])}
    faulty = (_gaps(row) & whole) | overflowing
    complaint = _complaint(specification, row)
    assert any(f"row 0, column {name!r}: " in complaint for name in faulty) if faulty else not complaint


def _complaint(specification: FeatureSpecification, row: Row) -> str:
    try:
        matrix_from_rows(specification, [row])
    except InvalidRequestError as error:
        return str(error)
    return ""


@given(st.lists(_ROW, min_size=2, max_size=12))
@settings(max_examples=40, deadline=None)
def test_one_row_is_the_row_of_the_batch(rows: list[Row]) -> None:
    """A row alone gives the bytes that it gives among others."""
    specification = _fitted(rows)
    rows = _that_serve(specification, rows)
    assume(rows)
    batch = matrix_from_rows(specification, rows)
    alone = numpy.concatenate([matrix_from_rows(specification, [row]) for row in rows])
    assert batch.tobytes() == alone.tobytes()


def test_bank_table_agrees() -> None:
    """A thousand rows of the bank table give the same bytes on both sides."""
    table = bank_rows(7, 0, 1000)
    specification = fit(columns_of(table), "y")
    trained = matrix_from_columns(specification, columns_of(table))
    scored = matrix_from_rows(specification, _through_json(table.to_pylist()))
    assert trained.tobytes() == scored.tobytes()
    assert specification.width == 10 + sum(column.width for column in specification.columns if not column.kind.is_numeric)


def test_column_of_booleans_with_gaps_takes_their_spellings() -> None:
    """A boolean column that has gaps in training knows true, "true" and 1 in scoring."""
    columns = {
        "flag": numpy.array(["True", None, "False", "True"], dtype=object),
        "y": numpy.array(["no", "yes"] * 2, dtype=object),
    }
    specification = fit(columns, "y")
    matrix = matrix_from_rows(specification, [{"flag": value} for value in (True, "true", "TRUE", "1")])
    assert (matrix == [0.0, 1.0]).all()
    assert (matrix_from_rows(specification, [{"flag": None}, {"flag": "perhaps"}]) == 0.0).all()


def test_dates() -> None:
    """Dates have a column for each part that differs; an offset is taken off, a gap takes medians, others are refused."""
    texts = ["2025-12-31T23:30:00-02:00", "2026-01-01 01:30", None, "2026-03-01", "2026-03-01"]
    columns = {"when": numpy.array(texts, dtype=object), "y": numpy.array(["no", "yes"] * 2 + ["no"], dtype=object)}
    specification = FeatureSpecification.from_json(fit(columns, "y").to_json())
    assert specification.names == ("when.month", "when.dayofweek", "when.dayofyear", "when.hour", "when.minute")
    matrix = matrix_from_rows(specification, [{"when": text} for text in texts])
    assert matrix[0].tolist() == matrix[1].tolist() == [1, 3, 1, 1, 30]
    assert matrix[2].tolist() == [2, 4.5, 30.5, 0.5, 15]
    assert matrix.tobytes() == matrix_from_columns(specification, columns).tobytes()
    for value, told in (("soon", "'soon'"), ("2026-02-30", "'2026-02-30'"), (3, "3"), (True, "true")):
        with pytest.raises(InvalidRequestError, match=f"row 0, column 'when': {told} where a date such as 2026-01-31"):
            matrix_from_rows(specification, [{"when": value}])
    with pytest.raises(InvalidRequestError, match="column 'when', row 1: 'soon' where a date such as"):
        matrix_from_columns(specification, {"when": numpy.array(["2026-01-01", "soon"], dtype=object)})
    assert fit({"d": numpy.array(["2026-01-01", "2026-01-02"] * 2, dtype=object), "y": columns["y"][:4]}, "y").names == (
        "d.day",
        "d.dayofweek",
        "d.dayofyear",
    )
    assert fit(columns, "y", ["when"]).columns[0].categories


def test_words() -> None:
    """A text has a column for each word that divides the rows, most evenly first; a gap and unknown words have none of them."""
    texts = ["A good day", "GOOD, and cheap", "bad and dear", "bad day", None, "good-bye all"]
    columns = {"note": numpy.array(texts, dtype=object), "y": numpy.array(["no", "yes"] * 3, dtype=object)}
    specification = FeatureSpecification.from_json(fit(columns, "y", text=["note"]).to_json())
    assert specification.names == ("note~and", "note~bad", "note~day", "note~good")
    asked: list[Row] = [{"note": text} for text in ("Bad, bad day", "", None, "unheard of")]
    assert matrix_from_rows(specification, asked).tolist() == [[0, 1, 1, 0], [0] * 4, [0] * 4, [0] * 4]
    rows: list[Row] = [{"note": text} for text in texts]
    assert matrix_from_rows(specification, rows).tobytes() == matrix_from_columns(specification, columns).tobytes()
    assert matrix_from_rows(specification, asked, UnknownCategories.REFUSE).shape == (4, 4)
    assert [each.title for each in profile_of(specification, columns).columns] == ["note (characters)"]
    with pytest.raises(InvalidRequestError, match="row 0, column 'note': 3 where a text or null would serve"):
        matrix_from_rows(specification, [{"note": 3}])


def test_an_accent_however_it_is_typed() -> None:
    """A letter with an accent is the same word in one code point and in two."""
    composed = numpy.array(["très bon", "pas bon", "très cher", "cher"], dtype=object)
    typed = numpy.array([unicodedata.normalize("NFD", text) for text in composed], dtype=object)
    assert (composed != typed).any()
    labels = numpy.array(["no", "yes"] * 2, dtype=object)
    specification = fit({"note": composed, "y": labels}, "y", text=["note"])
    assert specification == fit({"note": typed, "y": labels}, "y", text=["note"])
    expected = matrix_from_columns(specification, {"note": composed}).tobytes()
    assert matrix_from_columns(specification, {"note": typed}).tobytes() == expected
    assert matrix_from_rows(specification, [{"note": text} for text in typed]).tobytes() == expected


def test_a_long_word_is_none() -> None:
    """What is longer than any word is not learnt, so that a specification stays small whatever its texts hold."""
    texts = numpy.array([f"{'x' * 40} {'z' * 41}", "plain", "plain too", "x" * 40], dtype=object)
    specification = fit({"note": texts, "y": numpy.array(["no", "yes"] * 2, dtype=object)}, "y", text=["note"])
    assert specification.columns[0].words == ("plain", "x" * 40)


def test_words_need_no_more_than_the_matrix() -> None:
    """Of many long texts, hardly two alike, little is kept beside the matrix while it is filled."""
    texts = [" ".join(f"word{(row * 7 + place) % 400}" for place in range(20)) + f" {row}" for row in range(5000)]
    columns = {"note": numpy.array(texts, dtype=object), "y": numpy.array(["no", "yes"] * 2500, dtype=object)}
    specification = fit(columns, "y", text=["note"])
    tracemalloc.start()
    matrix = matrix_from_columns(specification, columns)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert matrix.sum() > 0
    assert peak < 1.5 * matrix.nbytes


def test_words_are_bounded() -> None:
    """However many words there are, so many are kept; where none is of use the column is left out."""
    texts = [f"w{row % 300:03} w{row % 211:03}" for row in range(2000)]
    columns = {
        "note": numpy.array(texts, dtype=object),
        "alone": numpy.array([f"word{row}" for row in range(2000)], dtype=object),
        "y": numpy.array(["no", "yes"] * 1000, dtype=object),
    }
    specification = fit(columns, "y", text=["note", "alone"])
    assert (specification.width, specification.dropped) == (128, ("alone",))
    with pytest.raises(InvalidRequestError, match="column 'n': int64 where text would serve"):
        fit({"n": numpy.arange(4), "y": columns["y"][:4]}, "y", text=["n"])


def test_numbers_as_categories() -> None:
    """Numbers that are categories have a column each; 3 and 3.0 are one, and what training did not see is none or refused."""
    columns = {"code": numpy.array([3, 10, 3, -1]), "y": numpy.array(["no", "yes"] * 2, dtype=object)}
    specification = fit(columns, "y", ["code"])
    assert specification.names == ("code=-1", "code=3", "code=10")
    rows: list[Row] = [{"code": 3}, {"code": 3.0}, {"code": 4}]
    assert matrix_from_rows(specification, rows).tolist() == [[0, 1, 0], [0, 1, 0], [0, 0, 0]]
    with pytest.raises(InvalidRequestError, match=r"row 2, column 'code': 4 is no category that training saw; -1, 3, 10 would"):
        matrix_from_rows(specification, rows, UnknownCategories.REFUSE)
    for value, told in (("3", "'3'"), (2.5, "2.5"), (math.nan, "NaN"), (None, "null"), (10**400, "1000")):
        with pytest.raises(InvalidRequestError, match=f"row 0, column 'code': {told}.* where a whole number would serve"):
            matrix_from_rows(specification, [{"code": value}])


def test_unknown_categories() -> None:
    """A category that fitting didn't see leaves its columns at zero, or is refused with those that would serve."""
    jobs = numpy.array(["a", "b", None], dtype=object)
    specification = fit({"job": jobs, "y": numpy.array(["no", "yes", "no"], dtype=object)}, "y")
    rows: list[Row] = [{"job": "b"}, {"job": None}, {"job": "c"}]
    assert matrix_from_rows(specification, rows).tolist() == [[0, 1], [0, 0], [0, 0]]
    assert matrix_from_rows(specification, rows[:2], UnknownCategories.REFUSE).tolist() == [[0, 1], [0, 0]]
    with pytest.raises(
        InvalidRequestError, match=r"row 2, column 'job': 'c' is no category that training saw; 'a', 'b' would serve"
    ):
        matrix_from_rows(specification, rows, UnknownCategories.REFUSE)


def test_many_categories_are_not_all_listed() -> None:
    """A refusal of an unknown category is short, however many are known."""
    jobs = numpy.array([f"job {number:02}" for number in range(40)] * 2, dtype=object)
    specification = fit({"job": jobs, "y": numpy.array(["no", "yes"] * 40, dtype=object)}, "y")
    with pytest.raises(InvalidRequestError, match=r"'job 09' and 30 more would serve") as caught:
        matrix_from_rows(specification, [{"job": "x" * 1000}], UnknownCategories.REFUSE)
    assert len(str(caught.value)) < 250


def test_missing_numbers_take_the_median() -> None:
    """Null takes the median of the training data, where that had gaps."""
    columns = {"n": numpy.array([1.0, 2.0, numpy.nan, 9.0]), "y": numpy.array(["no", "yes"] * 2, dtype=object)}
    specification = fit(columns, "y")
    assert matrix_from_rows(specification, [{"n": None}, {"n": 3}]).ravel().tolist() == [2.0, 3.0]


def test_no_rows() -> None:
    """No rows give a matrix of no rows."""
    specification = fit({"n": numpy.array([1.0, 2.0]), "y": numpy.array(["no", "yes"], dtype=object)}, "y")
    assert matrix_from_rows(specification, []).shape == (0, 1)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"n": "many", "t": "a"}, "column 'n': 'many' where a number would serve"),
        ({"n": "1", "t": "a"}, "column 'n': '1' where a number would serve"),
        ({"n": True, "t": "a"}, "column 'n': true where a number would serve"),
        ({"n": None, "t": "a"}, "column 'n': null where a number would serve"),
        ({"n": math.nan, "t": "a"}, "column 'n': NaN where a number would serve"),
        ({"n": -math.inf, "t": "a"}, "column 'n': -Infinity where a number would serve"),
        ({"n": 1e39, "t": "a"}, "column 'n': 1e+39 where a number would serve"),
        ({"n": 10**400, "t": "a"}, "where a number would serve"),
        ({"n": [1], "t": "a"}, "column 'n': [1] where a number would serve"),
        ({"n": 1, "t": {"a": 1}}, "column 't': {'a': 1} where a text would serve"),
        ({"n": 1, "t": 1}, "column 't': 1 where a text would serve"),
        ({"n": 1, "t": True}, "column 't': true where a text would serve"),
        ({"n": 1, "w": 1.5}, "column 'w': 1.5 where a whole number would serve"),
        ({"n": 1, "w": math.inf}, "column 'w': Infinity where a whole number would serve"),
        ({"n": 1, "w": 1, "b": "True"}, "column 'b': 'True' where true or false would serve"),
        ({"n": 1, "w": 1, "b": 1}, "column 'b': 1 where true or false would serve"),
        ({"n": 1, "w": 1, "b": True, "t": "a", "gap": "x"}, "column 'gap': 'x' where a number or null would serve"),
        ({"n": 1}, "column 'w': missing; give a whole number"),
        ({"t": "a"}, "column 'n': missing; give a number"),
        ({"n": 1, "salary": 1, "wage": 1}, "row 1: the model was not trained with column 'salary'; leave it out"),
        ([1, "a"], "a list where an object of column names and values would serve"),
        (None, "a NoneType where an object of column names and values would serve"),
    ],
)
def test_rows_that_can_not_be_read(row: Any, told: str) -> None:
    """The row, the column and what would serve are named in one short line."""
    columns = {
        "n": numpy.array([1.0, 2.0]),
        "w": numpy.array([1, 5]),
        "b": numpy.array([True, False]),
        "t": numpy.array(["a", "b"], dtype=object),
        "gap": numpy.array([1.0, numpy.nan]),
        "y": numpy.array(["no", "yes"], dtype=object),
    }
    good: Row = {"n": 1, "w": 1, "b": True, "t": "a", "gap": None, "y": "no"}
    faulty = {**good, **row} if isinstance(row, dict) and not told.endswith(("whole number", "give a number")) else row
    with pytest.raises(InvalidRequestError) as caught:
        matrix_from_rows(fit(columns, "y"), [good, faulty])
    assert str(caught.value).startswith("row 1")
    assert told in str(caught.value)
    assert len(str(caught.value)) < 120


def test_columns_that_can_not_be_used() -> None:
    """A column that is missing, or text where fitting saw numbers, is named."""
    specification = fit({"n": numpy.array([1.0, 2.0]), "y": numpy.array(["no", "yes"], dtype=object)}, "y")
    with pytest.raises(InvalidRequestError, match="column 'n' is missing; the columns are m"):
        matrix_from_columns(specification, {"m": numpy.array([1.0])})
    with pytest.raises(InvalidRequestError, match="column 'n': text where numbers would serve"):
        matrix_from_columns(specification, {"n": numpy.array(["many"], dtype=object)})
