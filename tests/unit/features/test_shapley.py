"""Contributions that add up, are right where the right answer is known, and keep their time."""

from __future__ import annotations

import itertools
import math
import time
from typing import Any

import numpy
import pytest

from bankmlops.features.shapley import explain, explain_sample
from unit.features.models import MATRIX, WIDTHS, background_of, model

Array = numpy.ndarray[Any, Any]


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_contributions_sum_to_the_prediction(classes: int, rounds: int) -> None:
    """However few rounds there are, a row's contributions are its prediction minus the background's mean prediction."""
    predict = model(classes)
    background = background_of(predict)
    found = explain(predict, MATRIX[:7], background, WIDTHS, seed=3, rounds=rounds)
    assert found.values.shape == (7, len(WIDTHS), classes)
    assert found.rounds == rounds
    expected = predict(MATRIX[:7]) - predict(background).mean(axis=0)
    assert numpy.abs(found.values.sum(axis=1) - expected).max() < 1e-12
    assert numpy.abs(found.values.sum(axis=2)).max() < 1e-12, "what one class gains the others lose"


def _exact(predict: Any, row: Array, background: Array) -> Array:
    """Shapley's own formula, over all coalitions."""
    column_of = numpy.repeat(numpy.arange(len(WIDTHS)), WIDTHS)
    count = len(WIDTHS)

    def value(coalition: set[int]) -> Array:
        return predict(numpy.where(numpy.isin(column_of, list(coalition)), row, background)).mean(axis=0)

    exact = []
    for column in range(count):
        others = [other for other in range(count) if other != column]
        coalitions = [set(chosen) for size in range(count) for chosen in itertools.combinations(others, size)]
        weights = [
            math.factorial(len(each)) * math.factorial(count - len(each) - 1) / math.factorial(count) for each in coalitions
        ]
        gains = [(value(each | {column}) - value(each)) * weight for each, weight in zip(coalitions, weights, strict=True)]
        exact.append(numpy.sum(gains, axis=0))
    return numpy.array(exact)


def test_they_are_shapley_values() -> None:
    """With many rounds they come to the exact Shapley values of the original columns."""
    predict = model(3)
    background = background_of(predict, 20)
    found = explain(predict, MATRIX[11:12], background, WIDTHS, seed=0, rounds=200)
    exact = _exact(predict, MATRIX[11], background)
    assert numpy.abs(found.values[0] - exact).max() < 0.01 * numpy.abs(exact).max() + 1e-3


def test_an_additive_model_is_explained_exactly() -> None:
    """Where columns don't interact one round is enough, and a column that the model doesn't read has nothing."""

    def predict(matrix: Array) -> Array:
        chance = 0.5 + 0.01 * matrix[:, :1].astype(numpy.float64)
        return numpy.hstack([1 - chance, chance])

    background = background_of(predict)
    found = explain(predict, MATRIX[:3], background, WIDTHS, seed=0, rounds=1)
    expected = 0.01 * (MATRIX[:3, 0] - background[:, 0].astype(numpy.float64).mean())
    assert numpy.allclose(found.values[:, 0, 1], expected)
    assert not found.values[:, 1:].any()


def test_the_same_seed_gives_the_same() -> None:
    """Two calls agree to the bit; another seed walks other ways."""
    predict = model(2)
    background = background_of(predict)
    first, second, other = (explain(predict, MATRIX[:2], background, WIDTHS, seed=seed, rounds=1).values for seed in (1, 1, 2))
    assert (first == second).all()
    assert (first != other).any()


def test_a_background_row_has_its_own_explanation() -> None:
    """Also where the explained row is the only background row, and nothing differs, the sum holds."""
    predict = model(2)
    found = explain(predict, MATRIX[:1], MATRIX[:1], WIDTHS, seed=0, rounds=2)
    assert numpy.abs(found.values).max() < 1e-12


def test_rounds_end_with_the_time() -> None:
    """After the deadline no round begins but the first, so an answer comes whatever the clock says."""
    predict = model(2)
    found = explain(predict, MATRIX[:2], background_of(predict), WIDTHS, seed=0, rounds=10_000, deadline=time.monotonic())
    assert found.rounds == 1


def test_a_sample_ends_with_the_time() -> None:
    """A sample explains as many rows as there is time for: all of a few, one where there is none."""
    predict = model(2)
    background = background_of(predict)
    late = explain_sample(predict, MATRIX, background, WIDTHS, seed=0, rows=50, deadline=time.monotonic())
    whole = explain_sample(predict, MATRIX, background, WIDTHS, seed=0, rows=50, deadline=time.monotonic() + 60)
    assert (len(late[0]), len(whole[0])) == (1, 50)
    assert len(set(whole[0].tolist())) == 50
    expected = predict(MATRIX[whole[0]]) - predict(background).mean(axis=0)
    assert numpy.abs(whole[1].values.sum(axis=1) - expected).max() < 1e-12


def test_the_model_is_asked_in_bounded_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call gets a larger matrix than is allowed, and the answer stays the same."""
    predict, sizes = model(2), []
    background = background_of(predict)

    def counting(matrix: Array) -> Array:
        sizes.append(len(matrix))
        return predict(matrix)

    at_once = explain(predict, MATRIX[:1], background, WIDTHS, seed=0, rounds=1)
    monkeypatch.setattr("bankmlops.features.shapley._CELLS_A_CALL", 110 * MATRIX.shape[1])
    in_pieces = explain(counting, MATRIX[:1], background, WIDTHS, seed=0, rounds=1)
    assert max(sizes) <= 110
    assert numpy.allclose(in_pieces.values, at_once.values, atol=1e-15)
