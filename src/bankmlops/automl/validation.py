"""What an AutoML configuration may ask for; a field that can't serve is refused before anything starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import get_close_matches

from bankmlops.automl.algorithms import ALGORITHM_NAMES, NETWORK
from bankmlops.automl.network.library import missing_packages
from bankmlops.automl.ray_cluster import resolve_address
from bankmlops.errors import InvalidRequestError
from bankmlops.types import AutoMLConfig, ColumnPurpose, Device, Engine, FeaturizationMode

PRIMARY_METRICS = (
    "accuracy",
    "AUC_weighted",
    "average_precision_score_weighted",
    "norm_macro_recall",
    "precision_score_weighted",
    "log_loss",
)
MAXIMUM_MINUTES = 7 * 24 * 60.0
MAXIMUM_FOLDS = 100
MAXIMUM_ITERATIONS = 100_000
_VALIDATIONS = ("n_cross_validations", "validation_size", "validation_dataset")


def validate_config(config: AutoMLConfig) -> None:
    """Raise `InvalidRequestError`, one line that names the field and what would serve."""
    _check_choice("primary_metric", config.primary_metric, PRIMARY_METRICS)
    _check_minutes("experiment_timeout_minutes", config.experiment_timeout_minutes)
    if config.iteration_timeout_minutes is not None:
        _check_minutes("iteration_timeout_minutes", config.iteration_timeout_minutes)
    _check_optional_count("iterations", config.iterations, 1, MAXIMUM_ITERATIONS)
    _check_optional_count("max_concurrent_iterations", config.max_concurrent_iterations, 1, 1000)
    _check_count("random_seed", config.random_seed, 0, 2**31 - 1)
    if config.experiment_exit_score is not None and not math.isfinite(config.experiment_exit_score):
        raise InvalidRequestError(
            f"experiment_exit_score {config.experiment_exit_score} can't serve; give a number, such as 0.92"
        )
    _check_validation(config)
    _check_featurization(config)
    _check_network(config)
    _check_engine(config)
    allowed_algorithms(config)


def allowed_algorithms(config: AutoMLConfig) -> tuple[str, ...]:
    """The algorithms that the configuration leaves to search; raises `InvalidRequestError` where it leaves none."""
    names_there_are = (*ALGORITHM_NAMES, NETWORK.name) if config.enable_dnn else ALGORITHM_NAMES
    for field, names in (("allowed_models", config.allowed_models), ("blocked_models", config.blocked_models)):
        for name in names:
            _check_choice(field, name, names_there_are)
    wanted = config.allowed_models or names_there_are
    left = tuple(name for name in names_there_are if name in wanted and name not in config.blocked_models)
    if not left:
        raise InvalidRequestError("allowed_models and blocked_models leave nothing to search; allow one more")
    return left


def _check_network(config: AutoMLConfig) -> None:
    if not config.enable_dnn:
        if NETWORK.name in (*config.allowed_models, *config.blocked_models):
            raise InvalidRequestError(f"{NETWORK.name} is among the learners with enable_dnn alone; set that too")
        return
    if missing := missing_packages():
        raise InvalidRequestError(f"enable_dnn needs {' and '.join(missing)}: install bankmlops[deep], or leave it out")


def _check_engine(config: AutoMLConfig) -> None:
    if config.engine is Engine.RAY:
        if config.device is Device.CUDA:
            raise InvalidRequestError("device cuda: engine ray fits on processors alone; leave it out")
        resolve_address(config.address)
    elif config.address:
        raise InvalidRequestError("address is a Ray cluster's, and the engine is local; set engine ray too")


def _check_validation(config: AutoMLConfig) -> None:
    asked = [name for name in _VALIDATIONS if getattr(config, name) is not None]
    if len(asked) > 1:
        raise InvalidRequestError(f"{asked[0]} and {asked[1]} exclude each other; give one of them")
    _check_optional_count("n_cross_validations", config.n_cross_validations, 2, MAXIMUM_FOLDS)
    if config.validation_size is not None and not 0 < config.validation_size < 1:
        raise InvalidRequestError(
            f"validation_size {config.validation_size:g} can't serve; give a share above 0 and below 1, such as 0.1"
        )
    validation, dataset = config.validation_dataset, config.dataset
    if validation is not None and validation.label_column != dataset.label_column:
        raise InvalidRequestError(
            f"validation_dataset {validation.name!r} has the label {validation.label_column!r}; one with the training data's, "
            f"{dataset.label_column!r}, would serve"
        )


def _check_featurization(config: AutoMLConfig) -> None:
    featurization, dataset = config.featurization, config.dataset
    named = [*featurization.drop_columns, *featurization.column_purposes]
    if featurization.mode is FeaturizationMode.OFF and named:
        raise InvalidRequestError(f"featurization off takes no settings for columns, and {named[0]!r} has one; choose auto")
    for name in named:
        _check_choice("featurization: column", name, dataset.columns)
    if dataset.label_column in named:
        raise InvalidRequestError(f"featurization: column {dataset.label_column!r} is the label; choose from the others")
    for name in featurization.drop_columns:
        if featurization.column_purposes.get(name, ColumnPurpose.IGNORE) is not ColumnPurpose.IGNORE:
            raise InvalidRequestError(f"featurization: column {name!r} is dropped and has a purpose; give one of both")


def _check_choice(field: str, value: str, choices: Sequence[str]) -> None:
    if value in choices:
        return
    close = get_close_matches(value, choices, n=1)
    hint = f"did you mean {close[0]!r}" if close else f"choose from {', '.join(choices)}"
    raise InvalidRequestError(f"{field} {value!r} is unknown; {hint}")


def _check_minutes(field: str, value: float) -> None:
    if not 0 < value <= MAXIMUM_MINUTES:
        raise InvalidRequestError(
            f"{field} {value:g} can't serve; give more than 0 and at most {MAXIMUM_MINUTES:g} minutes, such as 1"
        )


def _check_count(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise InvalidRequestError(f"{field} {value} can't serve; give a whole number from {least} to {most}")


def _check_optional_count(field: str, value: int | None, least: int, most: int) -> None:
    if value is not None:
        _check_count(field, value, least, most)
