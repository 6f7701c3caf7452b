"""Importance and examples, told of the original columns, are what the contributions say."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy
import pytest

from bankmlops.automl.explanations import examples_of, importance_of
from bankmlops.features.shapley import Contributions, explain_sample
from unit.features.models import MATRIX, SPECIFICATION, TABLE, WIDTHS, background_of, model

Array = numpy.ndarray[Any, Any]


def _sample() -> tuple[Array, Contributions]:
    predict = model(2)
    return explain_sample(predict, MATRIX, background_of(predict), WIDTHS, seed=0, rows=40, deadline=time.monotonic() + 60)


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
