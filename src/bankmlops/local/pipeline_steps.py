"""What each step of a training pipeline does: prepare, automl, evaluate, register.

A step may run again after a crash, so each finds what an earlier attempt did before it does it. A step answers what it adds to
the outputs, all strings; later steps and the run's readers see them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bankmlops.backend import Backend
from bankmlops.errors import InvalidRequestError, NotFoundError, RunFailedError
from bankmlops.types import Model, PipelineConfig, Run, RunStatus

PIPELINE_RUN_TAG = "pipeline_run_id"
_POLL_SECONDS = 0.3
_GRACE_SECONDS = 900.0
_VERSIONS_LOOKED_AT = 100

Outputs = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StepContext:
    """What a step of the run `run_id` may use; `is_canceled` says whether somebody ended the run meanwhile."""

    run_id: str
    config: PipelineConfig
    backend: Backend
    is_canceled: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Step:
    """A durable unit of work. Several may make up one step as its reader sees it: `shown_as`."""

    name: str
    shown_as: str
    run: Callable[[StepContext, Outputs], Outputs]


def find_automl_run(backend: Backend, run_id: str) -> Run | None:
    """The AutoML run that the pipeline run started, if it did."""
    return next((run for run in backend.list_runs() if run.tags.get(PIPELINE_RUN_TAG) == run_id), None)


def _prepare(context: StepContext, _outputs: Outputs) -> Outputs:
    """See that the dataset is there as it was when the pipeline was made."""
    wanted = context.config.automl.dataset
    found = context.backend.get_dataset(wanted.name, wanted.version)
    if found.sha256 != wanted.sha256:
        raise InvalidRequestError(
            f"dataset {wanted.name} version {wanted.version} has other content than when the pipeline was made"
        )
    return {"dataset": f"{found.name}:{found.version}", "rows": str(found.rows)}


def _submit_automl(context: StepContext, _outputs: Outputs) -> Outputs:
    """Start the AutoML run, or take up the one that an attempt before a crash started."""
    run = find_automl_run(context.backend, context.run_id)
    if run is None:
        config = context.config.automl
        run = context.backend.submit_automl(replace(config, tags={**config.tags, PIPELINE_RUN_TAG: context.run_id}))
    if context.is_canceled():  # a cancel that looked for the run before it was there
        context.backend.cancel_run(run.id)
    return {"automl_run_id": run.id}


def _wait_for_automl(context: StepContext, outputs: Outputs) -> Outputs:
    run = _wait(context, outputs["automl_run_id"])
    if run.status is not RunStatus.COMPLETED:
        raise RunFailedError(f"AutoML run {run.id} ended {run.status}" + (f": {run.error}" if run.error else ""))
    return {"best_algorithm": run.best_algorithm, "primary_metric": run.primary_metric}


def _wait(context: StepContext, run_id: str) -> Run:
    deadline = time.monotonic() + context.config.automl.experiment_timeout_minutes * 60 + _GRACE_SECONDS
    while not (run := context.backend.get_run(run_id)).status.is_final:
        if time.monotonic() > deadline:
            context.backend.cancel_run(run_id)
            raise RunFailedError(f"AutoML run {run_id} overran its budget by {_GRACE_SECONDS:.0f} s and was ended")
        time.sleep(_POLL_SECONDS)
    return run


def _evaluate(context: StepContext, outputs: Outputs) -> Outputs:
    """The gate: a model below the pipeline's minimum score goes no further."""
    metric = context.config.automl.primary_metric
    score = context.backend.get_run(outputs["automl_run_id"]).metrics.get(metric, math.nan)
    minimum = context.config.minimum_score
    if minimum is not None and not score >= minimum:
        raise RunFailedError(f"{metric} is {score:.4f}, below the gate of {minimum:g}: no model was registered")
    return {"score": repr(score)}


def _register(context: StepContext, outputs: Outputs) -> Outputs:
    """Register the best model, or take up the version that an attempt before a crash made."""
    run_id = outputs["automl_run_id"]
    model = _find_version(context, run_id) or context.backend.register_model(run_id, context.config.model_name)
    return {"model_name": model.name, "model_version": model.version}


def _find_version(context: StepContext, run_id: str) -> Model | None:
    """The newest version of the pipeline's model that this AutoML run made; versions are numbers that count up."""
    try:
        newest = context.backend.get_model(context.config.model_name)
    except NotFoundError:
        return None
    last = int(newest.version)
    for version in range(last, max(last - _VERSIONS_LOOKED_AT, 0), -1):
        try:
            model = context.backend.get_model(context.config.model_name, str(version))
        except NotFoundError:
            continue
        if model.run_id == run_id:
            return model
    return None


STEPS = (
    Step("prepare", "prepare", _prepare),
    Step("automl.submit", "automl", _submit_automl),
    Step("automl.wait", "automl", _wait_for_automl),
    Step("evaluate", "evaluate", _evaluate),
    Step("register", "register", _register),
)
SHOWN_STEPS = tuple(dict.fromkeys(step.shown_as for step in STEPS))
