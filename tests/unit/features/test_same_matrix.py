"""The promise that training and scoring share their features: the same rows give the same bytes on both sides."""

from __future__ import annotations

import json
from collections.abc import Callable
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

Row = dict[str, Any]

_NUMBERS = st.one_of(st.floats(allow_nan=False), st.floats(width=32, allow_nan=False), st.sampled_from([16777217.0, 1e39, -0.0]))
_TEXTS = st.one_of(st.sampled_from(["a", "b", "true", "1", " a", ""]), st.text(max_size=4))
_ROW = st.fixed_dictionaries(
    {
        "whole": st.integers(-(2**63), 2**63 - 1),
        "gap": st.one_of(st.none(), st.integers(-100, 2**60)),
        "number": st.one_of(st.none(), _NUMBERS),
        "flag": st.booleans(),
        "perhaps": st.one_of(st.none(), st.booleans()),
        "text": st.one_of(st.none(), _TEXTS),
        "y": st.sampled_from(["no", "yes"]),
    }
)
_SCHEMA = pa.schema(
    {
        "whole": pa.int64(),
        "gap": pa.int64(),
        "number": pa.float64(),
        "flag": pa.bool_(),
        "perhaps": pa.bool_(),
        "text": pa.string(),
        "y": pa.string(),
    }
)


def _columns(rows: list[Row]) -> dict[str, numpy.ndarray[Any, Any]]:
    return columns_of(pa.Table.from_pylist(rows, schema=_SCHEMA))


def _fitted(rows: list[Row]) -> FeatureSpecification:
    try:
        return fit(_columns(rows), "y")
    except InvalidRequestError:  # every column is constant
        assume(False)
        raise


def _through_json(rows: list[Row]) -> list[Row]:
    received: list[Row] = json.loads(json.dumps(rows))
    return received


def _numbers_as_text(rows: list[Row]) -> list[Row]:
    """As a client that reads CSV and converts nothing sends them."""
    spelled = {"whole", "gap", "number"}
    return [
        {name: ("" if value is None else repr(value)) if name in spelled else value for name, value in row.items()}
        for row in rows
    ]


def _booleans_spelled(rows: list[Row]) -> list[Row]:
    """As clients of other languages write them: true, TRUE or 1."""
    spelled: dict[Any, Any] = {True: "true", False: "FALSE"}
    flags = {"flag": spelled, "perhaps": {True: 1, False: 0}}
    return [{name: flags.get(name, {}).get(value, value) for name, value in row.items()} for row in rows]


def _wholes_as_fractions(rows: list[Row]) -> list[Row]:
    """As JavaScript or pandas with gaps sends whole numbers: 3.0 for 3."""
    wholes = {"whole", "gap"}
    return [
        {name: float(value) if name in wholes and value is not None else value for name, value in row.items()} for row in rows
    ]


@pytest.mark.parametrize(
    "spelling",
    [_through_json, _numbers_as_text, _booleans_spelled, _wholes_as_fractions],
    ids=["json", "text", "booleans", "fractions"],
)
@given(st.lists(_ROW, min_size=2, max_size=12), st.lists(_ROW, min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_training_and_scoring_agree(spelling: Callable[[list[Row]], list[Row]], seen: list[Row], new: list[Row]) -> None:
    """Rows that fitting saw and rows that it didn't give byte-identical matrices by columns and, through JSON, by rows."""
    specification = FeatureSpecification.from_json(_fitted(seen).to_json())
    for rows in (seen, new):
        trained = matrix_from_columns(specification, _columns(rows))
        scored = matrix_from_rows(specification, _through_json(spelling(rows)))
        assert trained.dtype == scored.dtype == numpy.float32
        assert trained.shape == scored.shape == (len(rows), specification.width)
        assert trained.tobytes() == scored.tobytes()
        assert numpy.isfinite(trained).all()


@given(st.lists(_ROW, min_size=2, max_size=12))
@settings(max_examples=40, deadline=None)
def test_one_row_is_the_row_of_the_batch(rows: list[Row]) -> None:
    """A row alone gives the bytes that it gives among others."""
    specification = _fitted(rows)
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
    matrix = matrix_from_rows(specification, [{"flag": value} for value in (True, "true", "TRUE", 1, "1", 1.0)])
    assert (matrix == [0.0, 1.0]).all()
    assert (matrix_from_rows(specification, [{"flag": None}, {"flag": "perhaps"}]) == 0.0).all()


def test_unknown_categories_are_all_zeros() -> None:
    """A category that fitting didn't see, and a missing one, leave their columns at zero."""
    specification = fit({"job": numpy.array(["a", "b"], dtype=object), "y": numpy.array(["no", "yes"], dtype=object)}, "y")
    assert matrix_from_rows(specification, [{"job": "c"}, {"job": None}, {"job": "b"}]).tolist() == [[0, 0], [0, 0], [0, 1]]


def test_missing_numbers_take_the_median() -> None:
    """Null, empty text, NaN and what float32 can't hold take the median of the training data."""
    columns = {"n": numpy.array([1.0, 2.0, numpy.nan, 9.0]), "y": numpy.array(["no", "yes"] * 2, dtype=object)}
    specification = fit(columns, "y")
    rows = [{"n": value} for value in (None, "", " ", float("nan"), "nan", 1e39, "-inf")]
    assert matrix_from_rows(specification, rows).ravel().tolist() == [2.0] * 7


def test_no_rows() -> None:
    """No rows give a matrix of no rows."""
    specification = fit({"n": numpy.array([1.0, 2.0]), "y": numpy.array(["no", "yes"], dtype=object)}, "y")
    assert matrix_from_rows(specification, []).shape == (0, 1)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"n": "many", "t": "a"}, "row 1, column 'n': 'many' where a number or null would serve"),
        ({"n": "1_000", "t": "a"}, "row 1, column 'n': '1_000' where a number or null would serve"),
        ({"n": [1], "t": "a"}, "row 1, column 'n': [1] where a number or null would serve"),
        ({"n": 10**400, "t": "a"}, "where a number or null would serve"),
        ({"n": 1, "t": {"a": 1}}, "row 1, column 't': {'a': 1} where a text or null would serve"),
        ({"n": 1}, "row 1, column 't': missing; give a text or null"),
        ({"t": "a"}, "row 1, column 'n': missing; give a number or null"),
        ([1, "a"], "row 1: a list where an object of column names and values would serve"),
        (None, "row 1: a NoneType where an object of column names and values would serve"),
    ],
)
def test_rows_that_can_not_be_read(row: Any, told: str) -> None:
    """The row, the column and what would serve are named in one short line."""
    columns = {
        "n": numpy.array([1.0, 2.0]),
        "t": numpy.array(["a", "b"], dtype=object),
        "y": numpy.array(["no", "yes"], dtype=object),
    }
    with pytest.raises(InvalidRequestError) as caught:
        matrix_from_rows(fit(columns, "y"), [{"n": 1, "t": "a"}, row])
    assert told in str(caught.value)
    assert len(str(caught.value)) < 120


def test_columns_that_can_not_be_used() -> None:
    """A column that is missing, or text where fitting saw numbers, is named."""
    specification = fit({"n": numpy.array([1.0, 2.0]), "y": numpy.array(["no", "yes"], dtype=object)}, "y")
    with pytest.raises(InvalidRequestError, match="column 'n' is missing; the columns are m"):
        matrix_from_columns(specification, {"m": numpy.array([1.0])})
    with pytest.raises(InvalidRequestError, match="column 'n': text where numbers would serve"):
        matrix_from_columns(specification, {"n": numpy.array(["many"], dtype=object)})
