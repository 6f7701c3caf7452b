"""Whether a difference between two models is more than noise."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

from bankmlops.automl.comparison import compare

Array = numpy.ndarray[Any, Any]


def _probabilities(labels: Array, sharpness: float, seed: int) -> Array:
    """Answers that know more of the truth the larger `sharpness` is."""
    noise = numpy.random.default_rng(seed).normal(size=len(labels))
    second = 1 / (1 + numpy.exp(-(sharpness * (2 * labels - 1) + noise)))
    return numpy.stack([1 - second, second], axis=1)


@pytest.fixture
def labels() -> Array:
    return numpy.random.default_rng(1).integers(0, 2, 1000)


@pytest.mark.parametrize("metric", ["log_loss", "accuracy", "AUC_weighted"])
@pytest.mark.slow
def test_a_better_model_is_better(labels: Array, metric: str) -> None:
    """A clearly better model passes by every metric, loss or not, and never the other way round."""
    good, poor = _probabilities(labels, 2.0, 2), _probabilities(labels, 0.5, 3)
    assert compare(labels, good, poor, metric, 0.95).is_better
    worse = compare(labels, poor, good, metric, 0.95)
    assert not worse.is_better
    assert worse.difference < 0


@pytest.mark.parametrize("metric", ["log_loss", "accuracy", "AUC_weighted"])
@pytest.mark.slow
def test_noise_is_no_progress(labels: Array, metric: str) -> None:
    """Two models that know the same differ by noise, which the interval covers; a model differs from itself by nothing."""
    first, second = _probabilities(labels, 1.0, 2), _probabilities(labels, 1.0, 3)
    found = compare(labels, first, second, metric, 0.95)
    assert found.low < 0 < found.high
    same = compare(labels, first, first, metric, 0.95)
    assert (same.difference, same.is_better) == (0.0, False)


def test_the_interval_covers_as_it_says() -> None:
    """Of many comparisons of equals, about one in forty calls the challenger better at 95 %: the upper half of the misses."""
    generator = numpy.random.default_rng(5)
    called = 0
    for _ in range(400):
        labels = generator.integers(0, 2, 300)
        pair = [_probabilities(labels, 1.0, int(seed)) for seed in generator.integers(0, 2**31, 2)]
        called += compare(labels, *pair, "log_loss", 0.95).is_better
    assert 1 <= called <= 24


def test_one_row_says_nothing() -> None:
    """A single row proves nothing."""
    assert not compare(numpy.array([1]), numpy.array([[0.0, 1.0]]), numpy.array([[1.0, 0.0]]), "log_loss", 0.95).is_better
