"""What the SDK asks of AutoML, in our terms."""

from __future__ import annotations

import pytest

from bankmlops.emulator.automl.automl_request import parse_request, parse_settings, passed_over
from bankmlops.errors import InvalidRequestError
from bankmlops.types import AutoMLConfig, ColumnPurpose, Dataset, Featurization, FeaturizationMode
from support.automl_requests import data_prep, settings

TRAINING, VALIDATION = "11111111-aaaa", "22222222-bbbb"
DATASET = Dataset("bank", "1", 100, ("age", "job", "y"), "y", "0" * 64)


def _config(time_scale: float = 1.0, **changes: object) -> AutoMLConfig:
    return parse_settings(settings(**changes)).config(DATASET, "bank", time_scale)


def test_what_the_sdk_sends_where_nothing_is_asked_for() -> None:
    """The SDK's own defaults leave everything to the backend."""
    config = _config()
    assert (config.iterations, config.n_cross_validations, config.validation_size) == (None, None, None)
    assert (config.featurization, config.enable_early_stopping, config.model_explainability) == (Featurization(), True, True)
    assert passed_over(settings(), data_prep(TRAINING)) == []


def test_every_setting() -> None:
    """Azure's settings become the backend's; both budgets are scaled."""
    featurization = {"_drop_columns": ["age"], "_column_purposes": {"job": "CategoricalHash"}, "_blocked_transformers": None}
    asked = {
        "experiment_exit_score": 0.9,
        "iteration_timeout_minutes": 5,
        "enable_early_stopping": False,
        "enable_stack_ensembling": True,
        "validation_size": 0.2,
        "featurization": featurization,
        "positive_label": "yes",
        "model_explainability": False,
    }
    config = _config(0.1, **asked)
    assert (config.experiment_timeout_minutes, config.iteration_timeout_minutes) == (pytest.approx(2), pytest.approx(0.5))
    assert (config.experiment_exit_score, config.enable_early_stopping, config.validation_size) == (0.9, False, 0.2)
    assert (config.positive_label, config.model_explainability, config.enable_stack_ensemble) == ("yes", False, True)
    assert config.featurization == Featurization(drop_columns=("age",), column_purposes={"job": ColumnPurpose.CATEGORICAL})
    assert passed_over(settings(**asked), data_prep(TRAINING)) == []
    assert _config(featurization="off").featurization == Featurization(FeaturizationMode.OFF)


@pytest.mark.parametrize(("asked", "stack", "tried"), [(10, True, 8), (10, False, 9), (1, True, 1)])
def test_iterations_are_without_the_ensembles(asked: int, stack: bool, tried: int) -> None:
    """Azure's last iterations are its ensembles."""
    assert _config(iterations=asked, enable_stack_ensembling=stack).iterations == tried


@pytest.mark.parametrize(
    ("asked", "scale", "taken"), [(20, 0.1, 2), (5, 0.02, 0.5), (0.2, 0.02, 0.2), (5, 1.0, 5), (None, 0.1, None)]
)
def test_the_time_of_an_iteration(asked: float | None, scale: float, taken: float | None) -> None:
    """It is scaled as the run's is, but not to less than a trial may need, and never to more than was asked for."""
    assert _config(scale, iteration_timeout_minutes=asked).iteration_timeout_minutes == taken


def test_a_validation_dataset() -> None:
    """Training and validation data are told apart, whichever comes first in what the SDK escaped."""
    first = data_prep(TRAINING).replace(
        "datasets", 'validation_data\\": {\\"datasetId\\": \\"' + VALIDATION + '\\"}, \\"datasets'
    )
    last = data_prep(TRAINING).replace("{", '{\\"validation_data\\": {\\"datasetId\\": \\"' + VALIDATION + '\\"}, ', 1)
    for text in (first, last):
        request = parse_request(settings(), text)
        assert (request.dataset_id, request.validation_dataset_id) == (TRAINING, VALIDATION)
    assert parse_request(settings(), data_prep(TRAINING)).validation_dataset_id == ""


def test_what_is_passed_over() -> None:
    """What the backend does without is named: settings of columns that it has no like of, and a share beside folds."""
    featurization = {"_transformer_params": {"Imputer": [[["age"], {}]]}, "_column_purposes": {"age": "Hashes"}}
    asked = settings(featurization=featurization, n_cross_validations=3, validation_size=0.1)
    assert passed_over(asked, data_prep(TRAINING)) == [
        "featurization: transformer_params is not emulated, and is passed over",
        "featurization: purpose Hashes of column age is not emulated, and is passed over",
        "validation_size beside n_cross_validations is not emulated, and is passed over",
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"featurization": "sometimes"}, "featurization 'sometimes' is unknown; give 'auto', 'off'"),
        ({"experiment_exit_score": "high"}, "experiment_exit_score is 'high'; give a number"),
        ({"iteration_timeout_minutes": -1}, "iteration_timeout_minutes is -1; give a number above 0"),
    ],
)
def test_what_cant_serve(changes: dict[str, object], words: str) -> None:
    """A setting that can't serve is one line that names it."""
    with pytest.raises(InvalidRequestError, match=words):
        _config(**changes)
