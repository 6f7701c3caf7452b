"""Waits for a run to complete, and shows how it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bankmlops.backend import Backend
from bankmlops.cli.graph import watching_pipeline
from bankmlops.cli.progress import watching
from bankmlops.errors import BackendUnavailableError, RunFailedError
from bankmlops.run_graph import with_progress
from bankmlops.runs import GRACE_SECONDS, AnyRun, started, wait
from bankmlops.types import PipelineRun, Run, RunStatus

LONGEST_SECONDS = 24 * 3600.0  # for a run whose budget is not known here


@contextmanager
def attended(start: Callable[[], str], cancel: Callable[[str], None]) -> Iterator[str]:
    """As `started`, but a run that goes on longer than it is waited for, or that can't be looked at, is not canceled."""
    unseen: BackendUnavailableError | None = None
    with started(start, cancel) as run_id:
        try:
            yield run_id
        except BackendUnavailableError as error:
            unseen = error
    if unseen is not None:
        raise BackendUnavailableError(f"{unseen}; run {run_id} is left to go on, look at it again by its id") from unseen


def await_run(backend: Backend, run_id: str, *, budget: float | None = None, at_most: float | None = None) -> Run:
    """The AutoML run when it has completed. It is waited for by its budget in minutes, or for `at_most` minutes, or for a day.

    Raises `RunFailedError` where it ended otherwise, `BackendUnavailableError` where it has not ended by then.
    """
    seconds = LONGEST_SECONDS if at_most is None else at_most * 60
    if budget is not None:
        seconds = budget * 60 + GRACE_SECONDS
    with watching("AutoML", budget) as on_change:
        return completed(wait(backend.get_run, run_id, timeout_seconds=seconds, on_change=on_change))


def await_pipeline_run(backend: Backend, run_id: str) -> PipelineRun:
    """The pipeline run when it has completed. Raises `RunFailedError` where it ended otherwise."""

    def read(pipeline_run_id: str) -> PipelineRun:
        return with_progress(backend.get_pipeline_run(pipeline_run_id), backend.get_run)

    with watching_pipeline() as on_change:
        return completed(wait(read, run_id, timeout_seconds=LONGEST_SECONDS, on_change=on_change))


def completed(run: AnyRun) -> AnyRun:
    """The run itself. Raises `RunFailedError` where it has not completed."""
    if run.status is not RunStatus.COMPLETED:
        raise RunFailedError(f"run {run.id} ended {run.status}: {run.error or 'no reason given'}")
    return run
