"""What the SDK asks of AutoML, in our terms: the settings that Azure's service would obey, and a clear word where ours can't."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bankmlops.emulator.automl.featurization_request import featurization_passed_over, parse_featurization
from bankmlops.errors import InvalidRequestError
from bankmlops.types import AutoMLConfig, Dataset, Featurization

# The algorithms that the backend trains, by Azure's names; others that a request names are left out, unless none would remain.
TRAINABLE_MODELS = ("LightGBM", "XGBoostClassifier", "ExtremeRandomTrees", "RandomForest", "LogisticRegression")
PRIMARY_METRICS = (
    "accuracy",
    "AUC_weighted",
    "average_precision_score_weighted",
    "norm_macro_recall",
    "precision_score_weighted",
)
DEFAULT_TIMEOUT_MINUTES = 60.0
LEAST_ITERATION_MINUTES = 0.5  # one takes as long as it takes: a tiny share of what was asked for would let none finish
DEFAULT_ITERATIONS = 1000  # the SDK sends it where nothing was asked for
_WITHOUT_EQUIVALENT = ("weight_column_name", "cv_split_column_names")
# Settings that the backend does not know, with the values by which a request does not ask for anything.
_PASSED_OVER: Mapping[str, tuple[Any, ...]] = {
    "enable_onnx_compatible_models": (None, False),
    "test_size": (None, 0, 0.0),
}
_PASSED_OVER_DATA = ("test_data",)
_DATASET_ID = r'datasetId[\\"]*\s*:\s*[\\"]*([0-9A-Za-z-]+)'
_TRAINING_ID = re.compile(_DATASET_ID)
_VALIDATION_ID = re.compile(r'validation_data[\\"]*\s*:\s*[{\\"\s]*' + _DATASET_ID)


@dataclass(frozen=True, slots=True)
class AutoMLRequest:
    """An AutoML experiment as asked for over the wire.

    `dataset_id` is the saved dataset's, `validation_dataset_id` that of another one or empty. `iterations` is without the
    ensembles, which Azure counts too.
    """

    dataset_id: str
    label_column: str
    primary_metric: str
    asked_minutes: float
    exit_score: float | None
    iterations: int | None
    iteration_minutes: float | None
    early_stopping: bool
    cross_validations: int | None
    validation_size: float | None
    concurrent_iterations: int | None
    allowed_models: tuple[str, ...]
    blocked_models: tuple[str, ...]
    featurization: Featurization
    positive_label: str | None
    voting_ensemble: bool
    stack_ensemble: bool
    explainability: bool
    compute_target: str
    validation_dataset_id: str = ""
    network: bool = False

    def config(self, dataset: Dataset, experiment: str, time_scale: float, validation: Dataset | None = None) -> AutoMLConfig:
        """The backend's config; the budgets that were asked for are multiplied by `time_scale`, an iteration's to
        `LEAST_ITERATION_MINUTES` at the least."""
        return AutoMLConfig(
            dataset=dataset,
            experiment_name=experiment,
            primary_metric=self.primary_metric,
            experiment_timeout_minutes=self.asked_minutes * time_scale,
            experiment_exit_score=self.exit_score,
            iterations=self.iterations,
            iteration_timeout_minutes=_scaled_iteration(self.iteration_minutes, time_scale),
            enable_early_stopping=self.early_stopping,
            n_cross_validations=self.cross_validations,
            validation_size=self.validation_size,
            validation_dataset=validation,
            max_concurrent_iterations=self.concurrent_iterations,
            allowed_models=self.allowed_models,
            blocked_models=self.blocked_models,
            featurization=self.featurization,
            positive_label=self.positive_label,
            enable_voting_ensemble=self.voting_ensemble,
            enable_stack_ensemble=self.stack_ensemble,
            enable_dnn=self.network,
            model_explainability=self.explainability,
            compute_target=self.compute_target,
        )


def parse_request(settings_json: str, data_prep_json: str) -> AutoMLRequest:
    """Read `amlSettingsJsonString` and `dataPrepJsonString`. Raises `InvalidRequestError` for what the emulator can't train."""
    validation = _VALIDATION_ID.search(data_prep_json or "")
    return replace(
        parse_settings(settings_json),
        dataset_id=find_dataset_id(data_prep_json),
        validation_dataset_id=validation.group(1) if validation else "",
    )


def parse_settings(settings_json: str) -> AutoMLRequest:
    """Read `amlSettingsJsonString` alone; the dataset's id stays empty. Raises `InvalidRequestError` as `parse_request` does."""
    settings = _settings(settings_json)
    task = settings.get("task_type")
    if task != "classification" or settings.get("is_timeseries"):
        raise InvalidRequestError(f"task {task!r} is not emulated; the emulator trains 'classification' alone")
    for name in _WITHOUT_EQUIVALENT:
        if settings.get(name):
            raise InvalidRequestError(f"{name} is not emulated: the column would be taken for a feature; leave it out")
    return AutoMLRequest(
        dataset_id="",
        label_column=_label_column(settings),
        primary_metric=_primary_metric(settings),
        asked_minutes=_positive(settings, "experiment_timeout_minutes", DEFAULT_TIMEOUT_MINUTES),
        exit_score=_number(settings, "experiment_exit_score"),
        iterations=_iterations(settings),
        iteration_minutes=_optional(settings, "iteration_timeout_minutes"),
        early_stopping=bool(settings.get("enable_early_stopping", True)),
        cross_validations=_cross_validations(settings),
        validation_size=None if _cross_validations(settings) else _optional(settings, "validation_size"),
        concurrent_iterations=_concurrency(settings),
        allowed_models=_trainable(settings, "whitelist_models"),
        blocked_models=_blocked(settings),
        featurization=parse_featurization(settings.get("featurization")),
        positive_label=None if settings.get("positive_label") is None else str(settings["positive_label"]),
        voting_ensemble=bool(settings.get("enable_ensembling", True)),
        stack_ensemble=bool(settings.get("enable_stack_ensembling", False)),
        explainability=bool(settings.get("model_explainability", True)),
        compute_target=str(settings.get("compute_target") or "local"),
        network=bool(settings.get("enable_dnn")) and _trains_networks(),
    )


def passed_over(settings_json: str, data_prep_json: str) -> list[str]:
    """What the request asks for and the emulator does without, in words for the run's warnings."""
    settings = _settings(settings_json)
    names = ["enable_dnn without bankmlops[deep]"] if settings.get("enable_dnn") and not _trains_networks() else []
    names += [name for name, idle in _PASSED_OVER.items() if settings.get(name) not in idle]
    names += [name for name in _PASSED_OVER_DATA if name in data_prep_json]
    names += featurization_passed_over(settings.get("featurization"))
    if _cross_validations(settings) and settings.get("validation_size"):
        names.append("validation_size beside n_cross_validations")
    unknown = [str(model) for model in settings.get("whitelist_models") or [] if model not in TRAINABLE_MODELS]
    lines = [f"{name} is not emulated, and is passed over" for name in names]
    return [*lines, *(f"allowed_models: {model} is not emulated, and is left out" for model in unknown)]


def find_dataset_id(data_prep_json: str) -> str:
    """The training dataset's id, out of JSON that the SDK has escaped once or more."""
    found = _TRAINING_ID.search(_VALIDATION_ID.sub("", data_prep_json or ""))
    if found is None:
        raise InvalidRequestError("training_data: the request names no dataset; give AutoMLConfig a TabularDataset")
    return found.group(1)


def _settings(text: str) -> Mapping[str, Any]:
    for candidate in (text, text.replace('\\"', '"')):
        try:
            settings = json.loads(candidate)
        except ValueError:
            continue
        if isinstance(settings, dict):
            return settings
    raise InvalidRequestError("amlSettingsJsonString is not a JSON object")


def _trains_networks() -> bool:
    from bankmlops.automl.network.library import missing_packages

    return not missing_packages()


def _label_column(settings: Mapping[str, Any]) -> str:
    label = settings.get("label_column_name")
    if not isinstance(label, str) or not label:
        raise InvalidRequestError("label_column_name is missing; name the column to predict")
    return label


def _primary_metric(settings: Mapping[str, Any]) -> str:
    metric = str(settings.get("primary_metric") or "accuracy")
    if metric not in PRIMARY_METRICS:
        raise InvalidRequestError(f"primary_metric {metric!r} is unknown; choose one of: {', '.join(PRIMARY_METRICS)}")
    return metric


def _positive(settings: Mapping[str, Any], name: str, default: float) -> float:
    value = settings.get(name)
    if value is None or value == "auto":
        return default
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    if number <= 0:
        raise InvalidRequestError(f"{name} is {value!r}; give a number above 0")
    return number


def _optional(settings: Mapping[str, Any], name: str) -> float | None:
    """A number above 0; None where it is left out, or 0."""
    return _positive(settings, name, 0.0) if settings.get(name) not in (None, 0) else None


def _scaled_iteration(asked: float | None, time_scale: float) -> float | None:
    return None if asked is None else min(asked, max(asked * time_scale, LEAST_ITERATION_MINUTES))


def _number(settings: Mapping[str, Any], name: str) -> float | None:
    value = settings.get(name)
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        raise InvalidRequestError(f"{name} is {value!r}; give a number") from None


def _cross_validations(settings: Mapping[str, Any]) -> int | None:
    return int(_positive(settings, "n_cross_validations", 0)) or None


def _iterations(settings: Mapping[str, Any]) -> int | None:
    asked = int(_positive(settings, "iterations", DEFAULT_ITERATIONS))
    ensembles = sum(bool(settings.get(name)) for name in ("enable_ensembling", "enable_stack_ensembling"))
    return None if asked == DEFAULT_ITERATIONS else max(asked - ensembles, 1)


def _concurrency(settings: Mapping[str, Any]) -> int | None:
    # What is asked for is a number of cluster nodes; here trials share this machine's cores.
    value = settings.get("max_concurrent_iterations")
    return max(1, min(int(value), os.cpu_count() or 1)) if value else None


def _trainable(settings: Mapping[str, Any], name: str) -> tuple[str, ...]:
    asked = settings.get(name) or []
    known = tuple(model for model in asked if model in TRAINABLE_MODELS)
    if asked and not known:
        names = ", ".join(map(str, asked))
        raise InvalidRequestError(f"allowed_models {names}: none is emulated; choose from: {', '.join(TRAINABLE_MODELS)}")
    return known


def _blocked(settings: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(model for model in settings.get("blacklist_algos") or [] if model in TRAINABLE_MODELS)
