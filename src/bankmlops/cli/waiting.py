"""Waits for a run to complete, and shows how it goes on."""

from __future__ import annotations

from bankmlops.backend import Backend
from bankmlops.cli.graph import watching_pipeline
from bankmlops.cli.progress import watching
from bankmlops.errors import RunFailedError
from bankmlops.run_graph import with_progress
from bankmlops.runs import AnyRun, wait
from bankmlops.types import PipelineRun, Run, RunStatus

GRACE_SECONDS = 900.0  # beyond its budget, a run may wait for a machine to be provisioned
PIPELINE_SECONDS = 24 * 3600.0


def await_run(backend: Backend, run_id: str, minutes: float) -> Run:
    """The AutoML run when it has completed. Raises `RunFailedError` where it ended otherwise."""
    with watching("AutoML", minutes) as on_change:
        return completed(wait(backend.get_run, run_id, timeout_seconds=minutes * 60 + GRACE_SECONDS, on_change=on_change))


def await_pipeline_run(backend: Backend, run_id: str) -> PipelineRun:
    """The pipeline run when it has completed. Raises `RunFailedError` where it ended otherwise."""

    def read(pipeline_run_id: str) -> PipelineRun:
        return with_progress(backend.get_pipeline_run(pipeline_run_id), backend.get_run)

    with watching_pipeline() as on_change:
        return completed(wait(read, run_id, timeout_seconds=PIPELINE_SECONDS, on_change=on_change))


def completed(run: AnyRun) -> AnyRun:
    """The run itself. Raises `RunFailedError` where it has not completed."""
    if run.status is not RunStatus.COMPLETED:
        raise RunFailedError(f"run {run.id} ended {run.status}: {run.error or 'no reason given'}")
    return run
