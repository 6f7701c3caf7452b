"""Runs pipelines durably on DBOS: every step's result is recorded, and a run goes on where a crash cut it off.

One process of a workspace may hold an engine (the control server, behind its lock); see `executor`.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from dbos import DBOS, SetWorkflowID, WorkflowStatus

from bankmlops.backend import Backend
from bankmlops.errors import BackendUnavailableError, ConflictError, InvalidRequestError, NotFoundError
from bankmlops.local.pipelines.database import PipelineDatabase
from bankmlops.local.pipelines.documents import to_document
from bankmlops.local.pipelines.executor import Executor
from bankmlops.local.pipelines.pruning import RunPruner
from bankmlops.local.pipelines.requests import RunRequest, read_request
from bankmlops.local.pipelines.runs import RunSources, read_run
from bankmlops.local.pipelines.sources import check_sources
from bankmlops.local.pipelines.step_checks import check_values
from bankmlops.local.pipelines.training import find_automl_runs
from bankmlops.local.pipelines.workflows import RUN_QUEUE, RUN_WORKFLOW, STEP_WORKFLOW, define_workflows, is_canceled
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.pipelines import check_pipeline
from bankmlops.pipelines.parameters import assign
from bankmlops.types import PipelineRun, PrunedRuns, RunStatus

__all__ = ["PipelineEngine", "RunRequest"]

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")
_WAITING_RUNS = 200
_ENTRANCE_SECONDS = 30.0
_LISTED_RUNS = 100
_UNFINISHED = ["ENQUEUED", "PENDING", "DELAYED"]


def _reporting(
    method: Callable[Concatenate[PipelineEngine, Asked], Answer],
) -> Callable[Concatenate[PipelineEngine, Asked], Answer]:
    """What the database refuses becomes one line for whoever asked."""

    @wraps(method)
    def reporting(engine: PipelineEngine, /, *arguments: Asked.args, **named: Asked.kwargs) -> Answer:
        with engine.executor.errors():
            return method(engine, *arguments, **named)

    return reporting


class PipelineEngine:
    """Starts, reads and cancels pipeline runs; `backend` trains for them, and their files lie in `workspace`."""

    def __init__(self, database: PipelineDatabase, backend: Callable[[], Backend], workspace: LocalWorkspace) -> None:
        self._backend = backend
        self._workspace = workspace
        self.executor = Executor(database)
        self._workflow = define_workflows(workspace, backend)
        self._entrance = threading.Lock()
        self._pruner = RunPruner(workspace, backend)

    def launch(self) -> None:
        """Take up the unfinished runs and take new ones."""
        self.executor.take_runs()

    @_reporting
    def start(self, run_id: str, request: RunRequest) -> PipelineRun:
        """Accept a run, which then survives any crash. An id that is taken answers the run that has it, unjudged.

        Raises `InvalidRequestError` for a pipeline or a parameter that can't serve, `ConflictError` where that run was asked for
        otherwise, `BackendUnavailableError` where too many wait.
        """
        document = cast(dict[str, Any], to_document(request))
        known = self._find(run_id)
        if known is None:
            self._check(request)
            known = self._enqueue(run_id, document)
        if known is None or known.input is None or known.input["args"][0] != document:
            raise ConflictError("the idempotency key was used for another request; send a new one")
        return self.read(run_id)

    def _check(self, request: RunRequest) -> None:
        check_pipeline(request.pipeline)
        check_sources(self._workspace, request.pipeline)
        check_values(request.pipeline, assign(request.pipeline, request.parameters))

    def _enqueue(self, run_id: str, document: dict[str, Any]) -> WorkflowStatus | None:
        """One at a time: those that ask at once must not pass the bound together, nor go on from a run that is being deleted."""
        with self._entering():
            self._refuse_crowd()
            if document["resubmitted_from"]:
                self._known(document["resubmitted_from"])
            self._pruner.heed(read_request(document))
            with SetWorkflowID(run_id):
                DBOS.enqueue_workflow(RUN_QUEUE, self._workflow, document)
        return self._find(run_id)

    @contextmanager
    def _entering(self) -> Iterator[None]:
        if not self._entrance.acquire(timeout=_ENTRANCE_SECONDS):
            raise BackendUnavailableError("too many ask at once; try again in a moment")
        try:
            yield
        finally:
            self._entrance.release()

    @_reporting
    def resubmit(self, run_id: str, from_step: str = "") -> PipelineRun:
        """Run it again as a run of its own, with the results of its finished steps, but anew from `from_step` on.

        Raises `NotFoundError`, `ConflictError` while the run goes on, and `InvalidRequestError` for an unknown step, and where a
        run that completed is asked for without one.
        """
        known = self.read(run_id)
        if not known.status.is_final:
            raise ConflictError(f"run {run_id} is {known.status}: it can be resubmitted when it has ended")
        names = [step.name for step in known.steps]
        if from_step not in names and (from_step or known.status is RunStatus.COMPLETED):
            what = f"run {run_id} has no step {from_step!r}" if from_step else f"run {run_id} completed"
            raise InvalidRequestError(f"{what}; say from which step to run it again: {', '.join(names)}")
        document = cast(Mapping[str, Any], self._known(run_id).input)["args"][0]
        request = replace(read_request(document), resubmitted_from=run_id, from_step=from_step)
        return self.start(str(uuid.uuid4()), request)

    @_reporting
    def read(self, run_id: str) -> PipelineRun:
        """How the run stands. Raises `NotFoundError`."""
        return self._read([self._known(run_id)])[0]

    @_reporting
    def list(self) -> Sequence[PipelineRun]:
        """The newest runs, newest first."""
        return self._read(DBOS.list_workflows(name=RUN_WORKFLOW, sort_desc=True, limit=_LISTED_RUNS, load_output=False))

    @_reporting
    def cancel(self, run_id: str) -> PipelineRun:
        """End the run and what it trains; a finished run stays as it is. Raises `NotFoundError`.

        The order matters: a step that starts to train after the search below finds its run canceled.
        """
        if not self.read(run_id).status.is_final:
            DBOS.cancel_workflow(run_id, cancel_children=True)
        for trained in find_automl_runs(self._backend(), run_id) if is_canceled(run_id) else ():
            if not trained.status.is_final:
                self._backend().cancel_run(trained.id)
        return self.read(run_id)

    @_reporting
    def find_prunable(self, before: datetime) -> PrunedRuns:
        """The runs that ended before this moment and that nobody needs; see `pruning`."""
        return self._pruner.find(before)

    @_reporting
    def prune(self, before: datetime) -> PrunedRuns:
        """Delete them, slice by slice: runs may begin in between, and what those may need stays."""
        return self._pruner.prune(before, self._entering)

    def _read(self, runs: Sequence[WorkflowStatus]) -> Sequence[PipelineRun]:
        """All steps of all these runs come in one query; only those that are not done need another look each."""
        steps: Mapping[str, list[WorkflowStatus]] = {run.workflow_id: [] for run in runs}
        if runs:
            for step in DBOS.list_workflows(parent_workflow_id=list(steps), name=STEP_WORKFLOW, load_input=False):
                steps[cast(str, step.parent_workflow_id)].append(step)
        sources = RunSources(DBOS.list_workflow_steps, self._backend, self._workspace)
        return [read_run(run, steps[run.workflow_id], sources) for run in runs]

    def _known(self, run_id: str) -> WorkflowStatus:
        status = self._find(run_id)
        if status is None:
            raise NotFoundError(f"no pipeline run has the id {run_id!r}; `bankmlops pipelines runs` shows the newest")
        return status

    def _find(self, run_id: str) -> WorkflowStatus | None:
        found = DBOS.list_workflows(workflow_ids=[run_id], name=RUN_WORKFLOW)
        return found[0] if found else None

    def _refuse_crowd(self) -> None:
        waiting = DBOS.list_workflows(
            name=RUN_WORKFLOW, status=_UNFINISHED, load_input=False, load_output=False, limit=_WAITING_RUNS
        )
        if len(waiting) >= _WAITING_RUNS:
            raise BackendUnavailableError(f"{_WAITING_RUNS} pipeline runs wait already; try again when some have ended")
