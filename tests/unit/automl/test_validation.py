"""What an AutoML configuration may ask for."""

from __future__ import annotations

from typing import Any

import pytest

from bankmlops.automl import PRIMARY_METRICS, validate_config
from bankmlops.automl.validation import allowed_algorithms
from bankmlops.errors import InvalidRequestError
from unit.automl.tables import columns, config

TABLE = columns(20, 2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"primary_metric": "acuracy"}, r"primary_metric 'acuracy' is unknown; did you mean 'accuracy'"),
        ({"primary_metric": "beauty"}, r"primary_metric 'beauty' is unknown; choose from accuracy, AUC_weighted"),
        ({"experiment_timeout_minutes": 0.0}, "experiment_timeout_minutes 0 can't serve; give more than 0"),
        ({"experiment_timeout_minutes": float("nan")}, "experiment_timeout_minutes nan can't serve"),
        ({"n_cross_validations": 1}, "n_cross_validations 1 can't serve; give a whole number from 2 to 100"),
        ({"max_concurrent_iterations": 0}, "max_concurrent_iterations 0 can't serve"),
        ({"random_seed": -1}, "random_seed -1 can't serve"),
        ({"allowed_models": ("LightGMB",)}, "allowed_models 'LightGMB' is unknown; did you mean 'LightGBM'"),
        ({"allowed_models": ("LightGBM",), "blocked_models": ("LightGBM",)}, "leave nothing to search"),
    ],
)
def test_refused(fields: dict[str, Any], message: str) -> None:
    """A field that can't serve is named in one line, with what would serve."""
    with pytest.raises(InvalidRequestError, match=message) as refused:
        validate_config(config(TABLE, **fields))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("metric", PRIMARY_METRICS)
def test_every_primary_metric_serves(metric: str) -> None:
    """Each of Azure's primary metrics for classification is accepted."""
    validate_config(config(TABLE, primary_metric=metric))


def test_blocked_models_are_left_out() -> None:
    """What is blocked is not searched, and what is allowed is all that is."""
    assert "RandomForest" not in allowed_algorithms(config(TABLE, blocked_models=("RandomForest",)))
    assert allowed_algorithms(config(TABLE, allowed_models=("LogisticRegression",))) == ("LogisticRegression",)
