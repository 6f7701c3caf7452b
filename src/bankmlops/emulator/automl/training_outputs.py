"""What an AutoML step hands on: its trials' metrics, and the model of the best one, of an iteration, or the best by a metric."""

from __future__ import annotations

import json
import math

from bankmlops.emulator.automl import automl_files, automl_history
from bankmlops.emulator.automl.trial_model_jobs import ask_for_model
from bankmlops.emulator.history import artifacts, metrics, runs
from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.state import Document
from bankmlops.emulator.storage.blobs import Blob
from bankmlops.errors import InvalidRequestError

METRICS, MODEL = "Metrics", "Model"
_LOSSES = ("log_loss",)
_ITERATION, _METRIC = f"{MODEL}:iteration=", f"{MODEL}:metric="


def output_kinds(module: Document) -> dict[str, str]:
    """Port -> what a training run fills it with, as `model_of` reads it; ports that it does not fill are left out."""
    outputs = (module.get("StructuredInterface") or {}).get("Outputs") or []
    return {str(each["Name"]): _kind(each["TrainingOutput"]) for each in outputs if each.get("TrainingOutput")}


def _kind(training: Document) -> str:
    if training.get("Iteration") is not None:
        return f"{_ITERATION}{int(training['Iteration'])}"
    return f"{_METRIC}{training['Metric']}" if training.get("Metric") else str(training.get("TrainingOutputType"))


def metrics_of(workspace: WorkspaceState, run_id: str) -> str:
    """Child -> metric -> a list with its value, as AutoML's metrics output has it."""
    found = _metrics(workspace, run_id)
    return json.dumps({child: {name: [value] for name, value in values.items()} for child, values in found.items()})


def model_of(workspace: WorkspaceState, run_id: str, kind: str) -> Blob | None:
    """The model that an output is, or None while it is being fitted. Raises `InvalidRequestError` where there is none."""
    child = _child(workspace, run_id, kind)
    if not automl_history.has_file(workspace, child, automl_files.MODEL):
        ask_for_model(workspace, child)
        return None
    return artifacts.get_blob(workspace, artifacts.RUN_ORIGIN, f"dcid.{child}", automl_files.MODEL)


def _child(workspace: WorkspaceState, run_id: str, kind: str) -> str:
    if kind.startswith(_METRIC):
        return _best_by(workspace, run_id, kind.removeprefix(_METRIC))
    if not kind.startswith(_ITERATION):
        return str(runs.get_run(workspace, run_id)["tags"][automl_history.BEST_CHILD_TAG])
    child = f"{run_id}_{kind.removeprefix(_ITERATION)}"
    if runs.find_run(workspace, child) is None:
        last = len(runs.list_children(workspace, run_id)) - 1
        raise InvalidRequestError(f"there is no iteration {kind.removeprefix(_ITERATION)}; the last one is {last}")
    return child


def _best_by(workspace: WorkspaceState, run_id: str, metric: str) -> str:
    found = _metrics(workspace, run_id)
    values = {child: each[metric] for child, each in found.items() if math.isfinite(each.get(metric, math.nan))}
    if not values:
        known = sorted({name for each in found.values() for name in each})
        raise InvalidRequestError(f"no iteration has the metric {metric}; there are: {', '.join(known)}")
    return (min if metric in _LOSSES else max)(values, key=lambda child: values[child])


def _metrics(workspace: WorkspaceState, run_id: str) -> dict[str, dict[str, float]]:
    children = runs.list_children(workspace, run_id)
    return {str(child["runId"]): metrics.scalars(workspace, child["runId"]) for child in children}
