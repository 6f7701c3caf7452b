"""LightGBM's thresholds, and the graph's."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

from bankmlops.automl import export
from bankmlops.automl.lightgbm_library import load_lightgbm


@pytest.mark.parametrize("classes", [2, 3])
def test_rows_on_a_threshold_take_the_same_branch(classes: int) -> None:
    """Rows that lie on the float32 next to a threshold get the same probabilities from the library and from the graph."""
    random = numpy.random.default_rng(0)
    matrix = random.normal(size=(2_000, 4)).astype(numpy.float32)
    labels = (1.5 * (matrix[:, 0] + matrix[:, 1] * matrix[:, 2])).round().clip(0, classes - 1).astype(int)
    model = load_lightgbm().LGBMClassifier(n_estimators=20, n_jobs=1, verbose=-1).fit(matrix, labels)

    rows = _rows_on_thresholds(model, random)
    graph = export.convert(model, "LightGBM", matrix.shape[1])
    answers = export.answers(export.merge([graph], [1.0], matrix.shape[1], classes), rows)

    assert numpy.abs(answers - model.predict_proba(rows)).max() < 1e-5


def _rows_on_thresholds(model: Any, random: numpy.random.Generator) -> numpy.ndarray:
    """float32 [4,000, 4], half of the values next to a threshold of their column; what is next to 0, LightGBM takes for 0."""
    rows = random.normal(size=(4_000, 4)).astype(numpy.float32)
    splits = model.booster_.trees_to_dataframe().dropna(subset=["threshold"])
    splits = splits[splits.threshold.abs() > 1e-30]
    for column in range(rows.shape[1]):
        nearest = splits.threshold[splits.split_feature == f"Column_{column}"].to_numpy().astype(numpy.float32)
        chosen = random.random(len(rows)) < 0.5
        rows[chosen, column] = random.choice(nearest, chosen.sum())
    return rows
