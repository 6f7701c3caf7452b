"""The body parser takes any bytes and ends in rows or in a refusal, never in another error."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bankmlops.errors import InvalidRequestError
from bankmlops.features import matrix_from_rows
from bankmlops.scoring.body import METHODS, ScoreRequest, parse_body
from bankmlops.scoring.refusal import RefusedError
from support.bundles import OLD, YOUNG, specification

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=12
)
ROWS = st.fixed_dictionaries({"age": VALUES, "job": VALUES}) | VALUES
KEYS = ("Inputs", "GlobalParameters", "data", "input_data", "columns", "index", "method")
NEAR = st.recursive(
    st.lists(ROWS, max_size=4) | st.sampled_from(METHODS) | SCALARS,
    lambda inner: st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)


def _read(body: bytes) -> ScoreRequest | RefusedError:
    """What the parser makes of the body; any other error fails the test."""
    try:
        return parse_body(body, 3)
    except RefusedError as refused:
        return _checked(refused)


def _checked(refused: RefusedError) -> RefusedError:
    assert refused.status in (400, 413)
    assert len(refused.message.splitlines()) == 1
    assert json.loads(refused.response().body)["message"] == refused.message
    return refused


@given(st.binary(max_size=200))
@example(b"\xef\xbb\xbf{}")
@example(b'{"data": [{"a": "\\ud800"}]}')
@example(b'{"data": [1], "method": ' + b"9" * 5000 + b"}")
@example(b'{"data": [1], "method": 1e999}')
@example(b'{"data": [1], "method": NaN}')
@example(b'{"data": NaN}')
@example(b'{"data": [1], "data": [2]}')
def test_any_bytes(body: bytes) -> None:
    """Bytes that are no request are refused with one line."""
    _read(body)


@given(VALUES)
def test_any_json(document: object) -> None:
    """JSON of any shape is read or refused."""
    _read(json.dumps(document).encode())


@settings(max_examples=150)
@given(NEAR, st.integers(0, 5))
def test_almost_requests(document: object, cut: int) -> None:
    """What looks like a request, whole or cut short, is read or refused, and what was read makes a matrix or a clear error."""
    body = json.dumps(document).encode()
    _read(body[: len(body) - cut])
    request = _read(body)
    if isinstance(request, ScoreRequest):
        assert 1 <= len(request.rows) <= 3
        assert request.method in METHODS
        assert _matrix_or_complaint(request.rows)


def _matrix_or_complaint(rows: list[Any]) -> bool:
    try:
        return bool(matrix_from_rows(specification(), rows).shape == (len(rows), specification().width))
    except InvalidRequestError as error:
        return str(error).startswith("row ")


@given(st.lists(st.fixed_dictionaries({"age": st.integers(-100, 100), "job": st.text(string.printable)}), min_size=1, max_size=3))
def test_formats_agree(rows: list[dict[str, object]]) -> None:
    """The same rows are read from each of the formats."""
    table = {"columns": ["age", "job"], "data": [[row["age"], row["job"]] for row in rows]}
    for document in ({"data": rows}, {"Inputs": {"data": rows}}, {"input_data": table}, {"data": table}):
        assert parse_body(json.dumps(document).encode(), 3) == ScoreRequest(rows, "predict")


def test_row_limit() -> None:
    """As many rows as may be are read, one more is a 413."""
    assert len(parse_body(json.dumps({"data": [YOUNG, OLD]}).encode(), 2).rows) == 2
    with pytest.raises(RefusedError, match="at most 1 in a request") as caught:
        parse_body(json.dumps({"data": [YOUNG, OLD]}).encode(), 1)
    assert caught.value.status == 413
