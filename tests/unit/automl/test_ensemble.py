"""Greedy selection, folds and the export's gate: arithmetic that needs no training."""

from __future__ import annotations

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bankmlops.automl.ensemble import blend, select_weights
from bankmlops.automl.folds import assign_folds
from bankmlops.automl.metrics import error_of, log_loss, metric_of
from bankmlops.automl.parity import check_parity, measure_parity
from bankmlops.errors import RunFailedError
from bankmlops.types import Parity

LABELS = numpy.random.default_rng(0).integers(0, 2, 2000)


def _candidate(noise: float, seed: int) -> numpy.ndarray:
    generator = numpy.random.default_rng(seed)
    score = (LABELS * 2 - 1) + generator.normal(scale=noise, size=len(LABELS))
    positive = 1 / (1 + numpy.exp(-score))
    return numpy.stack([1 - positive, positive], axis=1).astype(numpy.float32)


def _accuracy_error(probabilities: numpy.ndarray) -> float:
    return error_of("accuracy", metric_of("accuracy", LABELS, probabilities))


def test_the_blend_is_better_than_its_parts() -> None:
    """Models with errors of their own blend to a lower log loss than the best of them has, with weights that sum to 1."""
    candidates = [_candidate(1.5, seed) for seed in range(4)]
    weights = select_weights(candidates, LABELS, _accuracy_error)
    assert weights.sum() == pytest.approx(1.0)
    assert (weights >= 0).all()
    blended = log_loss(LABELS, blend(candidates, weights))
    assert blended < min(log_loss(LABELS, candidate) for candidate in candidates)


def test_a_useless_model_gets_no_weight() -> None:
    """Random answers are left out."""
    weights = select_weights(
        [_candidate(1.0, 1), numpy.full((len(LABELS), 2), 0.5, dtype=numpy.float32)], LABELS, _accuracy_error
    )
    assert weights[0] > 0.9


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=12, max_size=200), st.integers(2, 10), st.integers(0, 100))
def test_folds_spread_each_class_evenly(codes: list[int], count: int, seed: int) -> None:
    """Every fold has each class' rows within one of every other fold, and the same seed makes the same folds."""
    labels = numpy.unique(numpy.array(codes), return_inverse=True)[1]
    folds = assign_folds(labels, count, seed)
    used = int(folds.max()) + 1
    assert 2 <= used <= count
    assert (folds == assign_folds(labels, count, seed)).all()
    if numpy.bincount(labels).min() >= 2:
        for code in range(labels.max() + 1):
            sizes = numpy.bincount(folds[labels == code], minlength=used)
            assert sizes.max() - sizes.min() <= 1


def test_parity_counts_flips_that_are_no_ties() -> None:
    """A label that differs within the width of a tie is no flip; one that differs beyond is."""
    trained = numpy.array([[0.500001, 0.499999], [0.49, 0.51], [0.2, 0.8]])
    exported = numpy.array([[0.499999, 0.500001], [0.51, 0.49], [0.2, 0.8]])
    parity = measure_parity(trained, exported)
    assert (parity.label_flips, parity.rows) == (1, 3)
    assert parity.max_probability_difference == pytest.approx(0.02)


@pytest.mark.parametrize(("parity", "word"), [(Parity(2e-4, 0, 10), "probability"), (Parity(1e-6, 1, 10), "another label")])
def test_the_gate_refuses(parity: Parity, word: str) -> None:
    """A difference above the limit or a flipped label is refused in one line."""
    with pytest.raises(RunFailedError, match=word):
        check_parity(parity)


def test_the_gate_lets_a_true_copy_through() -> None:
    """Float32's own rounding is no difference."""
    check_parity(Parity(9e-5, 0, 10))
