"""The rows that explanations start from: like the table, and the same to the bit after their way through JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bankmlops.errors import InvalidRequestError
from bankmlops.features.background import background_from_json, background_to_json, choose_background
from unit.features.models import MATRIX, background_of, model


def test_the_background_is_like_the_table() -> None:
    """At most a hundred rows of the table, whose mean prediction is that of all rows, nearly."""
    predict = model(2)
    background = background_of(predict)
    assert background.shape == (100, MATRIX.shape[1])
    assert background.dtype == numpy.float32
    assert {row.tobytes() for row in background} <= {row.tobytes() for row in MATRIX}
    assert abs(predict(background).mean(axis=0) - predict(MATRIX).mean(axis=0)).max() < 0.01
    assert len(choose_background(MATRIX[:30], predict(MATRIX[:30]))) == 30


@given(arrays(numpy.float32, (3, 4), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_json_round_trip(background: Any) -> None:
    """What is read back is equal to the bit."""
    assert background_from_json(background_to_json(background), 4).tobytes() == background.tobytes()


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "its shape is"),
        ([[1.0]], "its shape is [1, 1] where [1 to 100, 2] would serve"),
        ([[1.0, 2.0]] * 101, "its shape is [101, 2]"),
        ([[1.0, 2.0], [3.0]], "not readable"),
        ([[1.0, "many"]], "not readable"),
        ([[1.0, None]], "something else than finite numbers"),
        ([[1.0, 1e39]], "something else than finite numbers"),
        ([[1.0, 10**400]], "not readable"),
        (7, "its shape is"),
    ],
)
def test_json_that_is_no_background(rows: object, told: str) -> None:
    """Anything else is refused in one line."""
    with pytest.raises(InvalidRequestError) as caught:
        background_from_json(json.dumps({"rows": rows}), 2)
    assert told in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "[" * 100_000])
def test_no_document(text: str) -> None:
    """A document that is none is refused."""
    with pytest.raises(InvalidRequestError, match="not readable"):
        background_from_json(text, 2)
