"""From SDK v2's AutoML task to the settings that SDK v1 sends, which `automl_request` reads: one reader of what can be trained.

What a task leaves out has the value that the REST reference (2023-04-01) says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from bankmlops.emulator.automl.automl_request import PRIMARY_METRICS, TRAINABLE_MODELS
from bankmlops.errors import InvalidRequestError

TIMEOUT = "PT6H"
TRIAL_TIMEOUT = "PT30M"
TRIALS = 1000
_DURATION = re.compile(r"P(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?\Z")


def settings_of(task: Mapping[str, Any], compute_target: str) -> str:
    """`AMLSettingsJsonString` for a `taskDetails`. Raises `InvalidRequestError` for another task than classification."""
    if str(task.get("taskType")).lower() != "classification":
        raise InvalidRequestError(f"task {task.get('taskType')!r} is not emulated; the emulator trains 'Classification' alone")
    settings = {
        "task_type": "classification",
        "label_column_name": task.get("targetColumnName"),
        "positive_label": task.get("positiveLabel"),
        "primary_metric": _known(str(task.get("primaryMetric") or "accuracy"), PRIMARY_METRICS),
        "n_cross_validations": _folds(task.get("nCrossValidations")),
        "validation_size": task.get("validationDataSize"),
        "weight_column_name": task.get("weightColumnName"),
        "cv_split_column_names": task.get("cvSplitColumnNames"),
        "test_size": task.get("testDataSize"),
        "featurization": _featurization(task.get("featurizationSettings") or {}),
        "compute_target": compute_target,
        **_limits(task.get("limitSettings") or {}),
        **_training(task.get("trainingSettings") or {}),
    }
    return json.dumps(settings)


def _limits(limits: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "experiment_timeout_minutes": _minutes("timeout", limits.get("timeout") or TIMEOUT),
        "iteration_timeout_minutes": _minutes("trialTimeout", limits.get("trialTimeout") or TRIAL_TIMEOUT),
        "experiment_exit_score": limits.get("exitScore"),
        "iterations": limits.get("maxTrials") or TRIALS,
        "max_concurrent_iterations": limits.get("maxConcurrentTrials"),
        "enable_early_stopping": _unless_said(limits.get("enableEarlyTermination")),
    }


def _training(training: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "whitelist_models": _models(training.get("allowedTrainingAlgorithms")),
        "blacklist_algos": _models(training.get("blockedTrainingAlgorithms")),
        "enable_ensembling": _unless_said(training.get("enableVoteEnsemble")),
        "enable_stack_ensembling": _unless_said(training.get("enableStackEnsemble")),
        "model_explainability": _unless_said(training.get("enableModelExplainability")),
        "enable_dnn": bool(training.get("enableDnnTraining")),
        "enable_onnx_compatible_models": bool(training.get("enableOnnxCompatibleModels")),
    }


def _featurization(settings: Mapping[str, Any]) -> str | dict[str, Any]:
    custom = {
        "_column_purposes": settings.get("columnNameAndTypes"),
        "_blocked_transformers": settings.get("blockedTransformers"),
        "_transformer_params": settings.get("transformerParams"),
        "_dataset_language": settings.get("datasetLanguage"),
    }
    if str(settings.get("mode")).lower() == "off":
        return "off"
    return custom if any(custom.values()) else "auto"


def _folds(setting: Any) -> int | None:
    """`{"mode": "Custom", "value": 5}`, or `Auto`, which is left to the backend."""
    return setting.get("value") if isinstance(setting, Mapping) else setting


def _minutes(name: str, text: Any) -> float:
    found = _DURATION.match(str(text))
    parts = {unit: float(value or 0) for unit, value in found.groupdict().items()} if found else {}
    minutes = parts.get("days", 0) * 1440 + parts.get("hours", 0) * 60 + parts.get("minutes", 0) + parts.get("seconds", 0) / 60
    if not minutes:
        raise InvalidRequestError(f"{name} is {text!r}; give an ISO 8601 duration above 0, such as PT20M")
    return minutes


def _unless_said(value: Any) -> bool:
    return True if value is None else bool(value)


def _models(names: Any) -> list[str]:
    return [_known(str(name), TRAINABLE_MODELS) for name in names or []]


def _known(name: str, names: tuple[str, ...]) -> str:
    """The name as SDK v1 spells it: SDK v2 writes AUCWeighted or auc_weighted for AUC_weighted."""
    plain = {_plain(each): each for each in names}
    return plain.get(_plain(name), name)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
