"""The steps that make a model: automl and register."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from bankmlops.backend import Backend
from bankmlops.errors import BankMLOpsError, NotFoundError, RunFailedError
from bankmlops.local.pipelines.documents import from_document, to_document
from bankmlops.local.pipelines.steps import Outputs, StepContext
from bankmlops.types import AutoMLConfig, Dataset, Model, Run, RunStatus

PIPELINE_RUN_TAG = "pipeline_run_id"
_STEP_TAG, _ATTEMPT_TAG = "pipeline_step", "pipeline_attempt"
_POLL_SECONDS = 0.3
_GRACE_SECONDS = 900.0
_VERSIONS_LOOKED_AT = 100


def find_automl_runs(backend: Backend, run_id: str) -> list[Run]:
    """The AutoML runs that the pipeline run started."""
    return list(backend.list_runs({PIPELINE_RUN_TAG: run_id}))


def dataset_of(backend: Backend, reference: str) -> Dataset:
    """The dataset that an input names as `NAME:VERSION`, or as `NAME` for the newest. Raises `NotFoundError`."""
    name, _, version = reference.partition(":")
    return backend.get_dataset(name, version or None)


def model_of(backend: Backend, reference: str) -> Model:
    """The model version that an input names, as `dataset_of` does."""
    name, _, version = reference.partition(":")
    return backend.get_model(name, version or None)


def submit_automl(context: StepContext, _outputs: Outputs) -> Outputs:
    """Start the AutoML run, or take up the one that this attempt started before a crash."""
    marks = {PIPELINE_RUN_TAG: context.run_id, _STEP_TAG: context.step.name, _ATTEMPT_TAG: str(context.attempt)}
    run = _find_marked(context.backend, marks)
    if run is None:
        run = context.backend.submit_automl(_config(context, marks))
    if context.is_canceled():  # a cancel that looked for the run before it was there
        context.backend.cancel_run(run.id)
    context.log(f"AutoML run {run.id}")
    return {"automl_run_id": run.id}


def wait_for_automl(context: StepContext, outputs: Outputs) -> Outputs:
    """Follow the AutoML run to its end; a step whose time is up ends it."""
    run = _wait(context, outputs["automl_run_id"])
    if run.status is not RunStatus.COMPLETED:
        raise RunFailedError(f"AutoML run {run.id} ended {run.status}" + (f": {run.error}" if run.error else ""))
    return {"best_algorithm": run.best_algorithm, "primary_metric": run.primary_metric}


def register(context: StepContext, _outputs: Outputs) -> Outputs:
    """Register the best model, or take up the version that was made of this run before."""
    run_id, name = context.inputs["automl_run_id"], context.inputs["model_name"]
    model = _find_version(context.backend, run_id, name) or context.backend.register_model(run_id, name)
    return {"model_name": model.name, "model_version": model.version, "model": f"{model.name}:{model.version}"}


def _find_marked(backend: Backend, marks: Mapping[str, str]) -> Run | None:
    return next(iter(backend.list_runs(marks)), None)


def _config(context: StepContext, marks: Mapping[str, str]) -> AutoMLConfig:
    inputs: dict[str, Any] = {**context.inputs, "dataset": _document(context, "dataset")}
    if "validation_dataset" in inputs:
        inputs["validation_dataset"] = _document(context, "validation_dataset")
    tags = {**context.tags, **inputs.get("tags", {}), **marks}
    return from_document(AutoMLConfig, {**inputs, "experiment_name": context.experiment_name, "tags": tags})


def _document(context: StepContext, name: str) -> object:
    return to_document(dataset_of(context.backend, context.inputs[name]))


def _wait(context: StepContext, run_id: str) -> Run:
    minutes = float(context.inputs.get("experiment_timeout_minutes", 1.0))
    overrun = time.monotonic() + minutes * 60 + _GRACE_SECONDS
    said = ""
    while not (run := context.backend.get_run(run_id)).status.is_final:
        if time.monotonic() > overrun:
            context.backend.cancel_run(run_id)
            raise RunFailedError(f"AutoML run {run_id} overran its budget by {_GRACE_SECONDS:.0f} s and was ended")
        _check(context, run_id)
        if run.progress and run.progress != said:
            said = run.progress
            context.log(said)
        time.sleep(_POLL_SECONDS)
    return run


def _check(context: StepContext, run_id: str) -> None:
    try:
        context.check()
    except BankMLOpsError:
        with suppress(BankMLOpsError):
            context.backend.cancel_run(run_id)
        raise


def _find_version(backend: Backend, run_id: str, name: str) -> Model | None:
    """The newest version of the model that this AutoML run made; versions are numbers that count up."""
    try:
        newest = backend.get_model(name)
    except NotFoundError:
        return None
    last = int(newest.version)
    for version in range(last, max(last - _VERSIONS_LOOKED_AT, 0), -1):
        try:
            model = backend.get_model(name, str(version))
        except NotFoundError:
            continue
        if model.run_id == run_id:
            return model
    return None
