"""What an AutoML configuration may ask for; a field that can't serve is refused before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from bankmlops.automl.algorithms import ALGORITHM_NAMES
from bankmlops.errors import InvalidRequestError
from bankmlops.types import AutoMLConfig

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


def validate_config(config: AutoMLConfig) -> None:
    """Raise `InvalidRequestError`, one line that names the field and what would serve."""
    _check_choice("primary_metric", config.primary_metric, PRIMARY_METRICS)
    if not 0 < config.experiment_timeout_minutes <= MAXIMUM_MINUTES:
        raise InvalidRequestError(
            f"experiment_timeout_minutes {config.experiment_timeout_minutes:g} can't serve; give more than 0 and at most "
            f"{MAXIMUM_MINUTES:g} minutes, such as 1"
        )
    _check_count("n_cross_validations", config.n_cross_validations, 2, MAXIMUM_FOLDS)
    if config.max_concurrent_iterations is not None:
        _check_count("max_concurrent_iterations", config.max_concurrent_iterations, 1, 1000)
    _check_count("random_seed", config.random_seed, 0, 2**31 - 1)
    allowed_algorithms(config)


def allowed_algorithms(config: AutoMLConfig) -> tuple[str, ...]:
    """The algorithms that the configuration leaves to search; raises `InvalidRequestError` where it leaves none."""
    for field, names in (("allowed_models", config.allowed_models), ("blocked_models", config.blocked_models)):
        for name in names:
            _check_choice(field, name, ALGORITHM_NAMES)
    wanted = config.allowed_models or ALGORITHM_NAMES
    left = tuple(name for name in ALGORITHM_NAMES if name in wanted and name not in config.blocked_models)
    if not left:
        raise InvalidRequestError("allowed_models and blocked_models leave nothing to search; allow one more")
    return left


def _check_choice(field: str, value: str, choices: Sequence[str]) -> None:
    if value in choices:
        return
    close = get_close_matches(value, choices, n=1)
    hint = f"did you mean {close[0]!r}" if close else f"choose from {', '.join(choices)}"
    raise InvalidRequestError(f"{field} {value!r} is unknown; {hint}")


def _check_count(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise InvalidRequestError(f"{field} {value} can't serve; give a whole number from {least} to {most}")
