"""Contributions that add up, are right where the right answer is known, and keep their time."""

from __future__ import annotations

import itertools
import json
import math
import time
from typing import Any

import numpy
import pytest

from bankmlops.automl.explanations import examples_of, importance_of, widths_of
from bankmlops.automl.shapley import Contributions, choose_background, explain, explain_sample
from bankmlops.features import fit, matrix_from_columns
from unit.automl.tables import columns

Array = numpy.ndarray[Any, Any]

TABLE = columns(300, 2)
SPECIFICATION = fit(TABLE, "y")
MATRIX = matrix_from_columns(SPECIFICATION, TABLE)
WIDTHS = widths_of(SPECIFICATION)


def _model(classes: int) -> Any:
    """A model with interactions between all columns."""
    generator = numpy.random.default_rng(classes)
    first = generator.normal(size=(MATRIX.shape[1], 6)) / MATRIX.std(axis=0).clip(0.1)[:, None]
    second = generator.normal(size=(6, classes))

    def predict(matrix: Array) -> Array:
        scores = numpy.tanh(matrix.astype(numpy.float64) @ first) @ second
        return numpy.exp(scores) / numpy.exp(scores).sum(axis=1, keepdims=True)

    return predict


def _background(predict: Any, size: int = 100) -> Array:
    return choose_background(MATRIX, predict(MATRIX), size)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_contributions_sum_to_the_prediction(classes: int, rounds: int) -> None:
    """However few rounds there are, a row's contributions are its prediction minus the background's mean prediction."""
    predict = _model(classes)
    background = _background(predict)
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
    predict = _model(3)
    background = _background(predict, 20)
    found = explain(predict, MATRIX[11:12], background, WIDTHS, seed=0, rounds=200)
    exact = _exact(predict, MATRIX[11], background)
    assert numpy.abs(found.values[0] - exact).max() < 0.01 * numpy.abs(exact).max() + 1e-3


def test_an_additive_model_is_explained_exactly() -> None:
    """Where columns don't interact one round is enough, and a column that the model doesn't read has nothing."""

    def predict(matrix: Array) -> Array:
        chance = 0.5 + 0.01 * matrix[:, :1].astype(numpy.float64)
        return numpy.hstack([1 - chance, chance])

    background = _background(predict)
    found = explain(predict, MATRIX[:3], background, WIDTHS, seed=0, rounds=1)
    expected = 0.01 * (MATRIX[:3, 0] - background[:, 0].astype(numpy.float64).mean())
    assert numpy.allclose(found.values[:, 0, 1], expected)
    assert not found.values[:, 1:].any()


def test_the_same_seed_gives_the_same() -> None:
    """Two calls agree to the bit; another seed walks other ways."""
    predict = _model(2)
    background = _background(predict)
    first, second, other = (explain(predict, MATRIX[:2], background, WIDTHS, seed=seed, rounds=1).values for seed in (1, 1, 2))
    assert (first == second).all()
    assert (first != other).any()


def test_a_background_row_has_its_own_explanation() -> None:
    """Also where the explained row is the only background row, and nothing differs, the sum holds."""
    predict = _model(2)
    found = explain(predict, MATRIX[:1], MATRIX[:1], WIDTHS, seed=0, rounds=2)
    assert numpy.abs(found.values).max() < 1e-12


def test_rounds_end_with_the_time() -> None:
    """After the deadline no round begins but the first, so an answer comes whatever the clock says."""
    predict = _model(2)
    found = explain(predict, MATRIX[:2], _background(predict), WIDTHS, seed=0, rounds=10_000, deadline=time.monotonic())
    assert found.rounds == 1


def test_a_sample_ends_with_the_time() -> None:
    """A sample explains as many rows as there is time for: all of a few, one where there is none."""
    predict = _model(2)
    background = _background(predict)
    late = explain_sample(predict, MATRIX, background, WIDTHS, seed=0, rows=50, deadline=time.monotonic())
    whole = explain_sample(predict, MATRIX, background, WIDTHS, seed=0, rows=50, deadline=time.monotonic() + 60)
    assert (len(late[0]), len(whole[0])) == (1, 50)
    assert len(set(whole[0].tolist())) == 50
    expected = predict(MATRIX[whole[0]]) - predict(background).mean(axis=0)
    assert numpy.abs(whole[1].values.sum(axis=1) - expected).max() < 1e-12


def test_the_model_is_asked_in_bounded_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call gets a larger matrix than is allowed, and the answer stays the same."""
    predict, sizes = _model(2), []
    background = _background(predict)

    def counting(matrix: Array) -> Array:
        sizes.append(len(matrix))
        return predict(matrix)

    at_once = explain(predict, MATRIX[:1], background, WIDTHS, seed=0, rounds=1)
    monkeypatch.setattr("bankmlops.automl.shapley._CELLS_A_CALL", 110 * MATRIX.shape[1])
    in_pieces = explain(counting, MATRIX[:1], background, WIDTHS, seed=0, rounds=1)
    assert max(sizes) <= 110
    assert numpy.allclose(in_pieces.values, at_once.values, atol=1e-15)


def test_the_background_is_like_the_table() -> None:
    """At most a hundred rows of the table, whose mean prediction is that of all rows, nearly."""
    predict = _model(2)
    background = _background(predict)
    assert background.shape == (100, MATRIX.shape[1])
    assert background.dtype == numpy.float32
    assert {row.tobytes() for row in background} <= {row.tobytes() for row in MATRIX}
    assert abs(predict(background).mean(axis=0) - predict(MATRIX).mean(axis=0)).max() < 0.01
    assert len(choose_background(MATRIX[:30], predict(MATRIX[:30]))) == 30


def _sample() -> tuple[Array, Contributions]:
    predict = _model(2)
    return explain_sample(predict, MATRIX, _background(predict), WIDTHS, seed=0, rows=40, deadline=time.monotonic() + 60)


def test_importance() -> None:
    """Importance is the mean size of the contributions, named after the original columns, the largest first in JSON."""
    indices, found = _sample()
    importance = importance_of(found, MATRIX[indices], SPECIFICATION)
    assert importance.columns == ("number", "whole", "text", "flag")
    assert importance.shown_class == "class 1"
    assert numpy.allclose(importance.values, numpy.abs(found.values[:, :, 1]).mean(axis=0))
    document = json.loads(json.dumps(importance.to_dict()))
    shares = list(document["importance"].values())
    assert shares == sorted(shares, reverse=True)
    assert document["rows"] == 40
    levels = importance.levels
    assert numpy.isnan(levels[:, 2:]).all()
    assert (levels[:, 1].min(), levels[:, 1].max()) == (0, 1)
    assert levels[MATRIX[indices][:, 1].argmax(), 1] == 1


def test_examples_add_up() -> None:
    """The likeliest, the least sure and the unlikeliest row each show their own values, and add up to their probability."""
    indices, found = _sample()
    examples = examples_of(found, indices, TABLE, SPECIFICATION)
    probabilities = [example.probability for example in examples]
    assert probabilities[0] == found.predictions[:, 1].max()
    assert probabilities[-1] == found.predictions[:, 1].min()
    assert abs(probabilities[1] - 0.5) == numpy.abs(found.predictions[:, 1] - 0.5).min()
    for example in examples:
        assert example.base + sum(part for _, _, part in example.parts) == pytest.approx(example.probability)
        values = {name: value for name, value, _ in example.parts}
        assert values["whole"] == str(TABLE["whole"][example.row])
        sizes = [abs(part) for _, _, part in example.parts]
        assert sizes == sorted(sizes, reverse=True)
