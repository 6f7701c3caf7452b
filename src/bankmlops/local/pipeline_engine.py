"""Runs pipelines durably on DBOS: every step's result is recorded, and a run goes on where a crash cut it off.

One process of a workspace may hold an engine (the control server, behind its lock): DBOS hands the unfinished runs of an executor
id to whoever launches with it. The application version is set by hand, since DBOS' own is a hash of the workflow's source that
orphans unfinished runs when the source changes; it counts up when the steps' names or order change.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID, WorkflowStatus

from bankmlops.backend import Backend
from bankmlops.errors import BackendUnavailableError, BankMLOpsError, ConflictError, NotFoundError
from bankmlops.local.pipeline_documents import from_document, to_document
from bankmlops.local.pipeline_runs import read_run
from bankmlops.local.pipeline_steps import STEPS, Step, StepContext, find_automl_run
from bankmlops.types import PipelineConfig, PipelineRun

_VERSION = "1"
_EXECUTOR = "control-server"
_QUEUE = "pipeline-runs"
_WORKFLOW = "run_pipeline"
_CONCURRENT_RUNS = 2
_WAITING_RUNS = 200
_LISTED_RUNS = 100
_UNFINISHED = ["ENQUEUED", "PENDING", "DELAYED"]

logger = logging.getLogger("bankmlops.pipelines")


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a run is started with; it is the workflow's input, as JSON."""

    config: PipelineConfig
    experiment_name: str
    pipeline_id: str = ""
    run_source: str = ""


class PipelineEngine:
    """Starts, reads and cancels pipeline runs; `backend` trains for them."""

    def __init__(self, system_database: Path, backend: Callable[[], Backend]) -> None:
        self._backend = backend
        DBOS(config=_configuration(system_database))
        self._workflow = _define_workflow(backend)

    def launch(self) -> None:
        """Take up the unfinished runs and take new ones."""
        DBOS.launch()
        DBOS.register_queue(_QUEUE, worker_concurrency=_CONCURRENT_RUNS, polling_interval_sec=0.2)

    def start(self, run_id: str, request: RunRequest) -> PipelineRun:
        """Accept a run, which then survives any crash. An id that is taken answers the run that has it.

        Raises `ConflictError` where that run was asked for otherwise, `BackendUnavailableError` where too many wait.
        """
        document = cast(dict[str, Any], to_document(request))
        known = self._find(run_id)
        if known is None:
            self._refuse_crowd()
            with SetWorkflowID(run_id):
                DBOS.enqueue_workflow(_QUEUE, self._workflow, document)
            known = self._find(run_id)
        if known is None or known.input is None or known.input["args"][0] != document:
            raise ConflictError("the idempotency key was used for another request; send a new one")
        return self.read(run_id)

    def read(self, run_id: str) -> PipelineRun:
        """How the run stands. Raises `NotFoundError`."""
        status = self._find(run_id)
        if status is None:
            raise NotFoundError(f"no pipeline run has the id {run_id!r}; `bankmlops pipelines runs` shows the newest")
        return read_run(status, DBOS.list_workflow_steps(run_id))

    def list(self) -> Sequence[PipelineRun]:
        """The newest runs, newest first."""
        newest = DBOS.list_workflows(name=_WORKFLOW, sort_desc=True, limit=_LISTED_RUNS)
        return [read_run(status, DBOS.list_workflow_steps(status.workflow_id)) for status in newest]

    def cancel(self, run_id: str) -> PipelineRun:
        """End the run and what it trains; a finished run stays as it is. Raises `NotFoundError`.

        The order matters: a step that starts to train after the search below finds its run canceled.
        """
        if self.read(run_id).status.is_final is False:
            DBOS.cancel_workflow(run_id)
        trained = find_automl_run(self._backend(), run_id) if _is_canceled(run_id) else None
        if trained is not None and not trained.status.is_final:
            self._backend().cancel_run(trained.id)
        return self.read(run_id)

    def _find(self, run_id: str) -> WorkflowStatus | None:
        found = DBOS.list_workflows(workflow_ids=[run_id], name=_WORKFLOW)
        return found[0] if found else None

    def _refuse_crowd(self) -> None:
        waiting = DBOS.list_workflows(status=_UNFINISHED, load_input=False, load_output=False, limit=_WAITING_RUNS)
        if len(waiting) >= _WAITING_RUNS:
            raise BackendUnavailableError(f"{_WAITING_RUNS} pipeline runs wait already; try again when some have ended")


def _configuration(system_database: Path) -> DBOSConfig:
    return DBOSConfig(
        name="bankmlops",
        system_database_url=f"sqlite:///{system_database}",
        application_version=_VERSION,
        executor_id=_EXECUTOR,
        serializer=DBOSPortableJSONSerializer(),
        log_level="WARNING",
    )


def _define_workflow(backend: Callable[[], Backend]) -> Callable[[dict[str, Any]], dict[str, str]]:
    @DBOS.workflow(name=_WORKFLOW)
    def run_pipeline(document: dict[str, Any]) -> dict[str, str]:
        run_id = cast(str, DBOS.workflow_id)
        request = from_document(RunRequest, document)
        outputs: dict[str, str] = {}
        for step in STEPS:
            outputs |= DBOS.run_step({"name": step.name}, _perform, step, run_id, request, outputs, backend)
        return outputs

    return run_pipeline


def _perform(
    step: Step, run_id: str, request: RunRequest, outputs: Mapping[str, str], backend: Callable[[], Backend]
) -> dict[str, str]:
    context = StepContext(run_id, request.config, backend(), lambda: _is_canceled(run_id))
    logger.info("run %s: step %s starts", run_id, step.name)
    try:
        return dict(step.run(context, outputs))
    except BankMLOpsError as error:
        logger.warning("run %s: step %s failed: %s", run_id, step.name, error)
        raise
    except Exception:
        logger.exception("run %s: step %s failed", run_id, step.name)
        raise


def _is_canceled(run_id: str) -> bool:
    status = DBOS.get_workflow_status(run_id)
    return status is not None and status.status == "CANCELLED"
