"""What an AutoML configuration may ask for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bankmlops.automl import PRIMARY_METRICS, validate_config
from bankmlops.automl.validation import allowed_algorithms
from bankmlops.errors import InvalidRequestError
from bankmlops.types import ColumnPurpose, Featurization, FeaturizationMode
from unit.automl.tables import columns, config

TABLE = columns(20, 2)
OTHER = replace(config(TABLE).dataset, name="other", label_column="flag")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"primary_metric": "acuracy"}, r"primary_metric 'acuracy' is unknown; did you mean 'accuracy'"),
        ({"primary_metric": "beauty"}, r"primary_metric 'beauty' is unknown; choose from accuracy, AUC_weighted"),
        ({"experiment_timeout_minutes": 0.0}, "experiment_timeout_minutes 0 can't serve; give more than 0"),
        ({"experiment_timeout_minutes": float("nan")}, "experiment_timeout_minutes nan can't serve"),
        ({"iteration_timeout_minutes": 0.0}, "iteration_timeout_minutes 0 can't serve; give more than 0"),
        ({"iterations": 0}, "iterations 0 can't serve; give a whole number from 1 to"),
        ({"experiment_exit_score": float("nan")}, "experiment_exit_score nan can't serve; give a number"),
        ({"n_cross_validations": 1}, "n_cross_validations 1 can't serve; give a whole number from 2 to 100"),
        ({"validation_size": 1.0}, "validation_size 1 can't serve; give a share above 0 and below 1"),
        ({"n_cross_validations": 3, "validation_size": 0.1}, "n_cross_validations and validation_size exclude each other"),
        ({"validation_size": 0.1, "validation_dataset": OTHER}, "validation_size and validation_dataset exclude each other"),
        ({"validation_dataset": OTHER}, "validation_dataset 'other' has the label 'flag'; one with the training data's, 'y'"),
        ({"max_concurrent_iterations": 0}, "max_concurrent_iterations 0 can't serve"),
        ({"random_seed": -1}, "random_seed -1 can't serve"),
        ({"allowed_models": ("LightGMB",)}, "allowed_models 'LightGMB' is unknown; did you mean 'LightGBM'"),
        ({"allowed_models": ("LightGBM",), "blocked_models": ("LightGBM",)}, "leave nothing to search"),
        ({"featurization": Featurization(drop_columns=("wole",))}, "column 'wole' is unknown; did you mean 'whole'"),
        ({"featurization": Featurization(drop_columns=("y",))}, "column 'y' is the label"),
        ({"featurization": Featurization(FeaturizationMode.OFF, ("text",))}, "off takes no settings for columns, and 'text'"),
        (
            {"featurization": Featurization(drop_columns=("text",), column_purposes={"text": ColumnPurpose.NUMERIC})},
            "column 'text' is dropped and has a purpose",
        ),
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


def test_every_setting_serves() -> None:
    """Each of Azure's settings is accepted with a value that makes sense."""
    validate_config(
        config(
            TABLE,
            iterations=5,
            iteration_timeout_minutes=0.5,
            enable_early_stopping=False,
            experiment_exit_score=0.9,
            validation_dataset=replace(OTHER, label_column="y"),
            featurization=Featurization(drop_columns=("whole",), column_purposes={"text": ColumnPurpose.CATEGORICAL}),
            positive_label="class 0",
            enable_stack_ensemble=True,
            model_explainability=False,
        )
    )


def test_blocked_models_are_left_out() -> None:
    """What is blocked is not searched, and what is allowed is all that is."""
    assert "RandomForest" not in allowed_algorithms(config(TABLE, blocked_models=("RandomForest",)))
    assert allowed_algorithms(config(TABLE, allowed_models=("LogisticRegression",))) == ("LogisticRegression",)


def test_featurization_as_a_person_reads_it() -> None:
    """It is written as its mode with what is set for single columns."""
    assert str(Featurization()) == "auto"
    settings = Featurization(drop_columns=("a",), column_purposes={"b": ColumnPurpose.NUMERIC})
    assert str(settings) == "auto, a: Ignore, b: Numeric"
