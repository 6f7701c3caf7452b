"""The two workflows that DBOS carries out: a run, which starts each step whose inputs are there, and a step, with its attempts.

Both are replayed after a crash: what they do between recorded steps must follow from their input and those records alone.
A step is a workflow of its own on a queue of its own, under an id that follows from the run's, so any process may take it.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from dbos import DBOS, PortableWorkflowError, SetWorkflowID, WorkflowHandle

from bankmlops.backend import Backend
from bankmlops.errors import BankMLOpsError, RunFailedError
from bankmlops.local.pipelines.documents import from_document, to_document
from bankmlops.local.pipelines.files import StepFolder
from bankmlops.local.pipelines.requests import RunRequest, StepRequest, StepResult
from bankmlops.local.pipelines.reuse import PipelineResults, Plan, make_plan
from bankmlops.local.pipelines.steps import Part, StepContext, parts_of
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.pipelines import Step
from bankmlops.pipelines.parameters import assign
from bankmlops.pipelines.progress import ready_steps
from bankmlops.pipelines.references import OutputReference, Reference, resolved
from bankmlops.pipelines.validation import after

RUN_QUEUE, STEP_QUEUE = "pipeline-runs", "pipeline-steps"
RUN_WORKFLOW, STEP_WORKFLOW = "run_pipeline", "run_pipeline_step"
_POLL_SECONDS = 0.1
_HOPELESS = frozenset({"InvalidRequestError", "NotFoundError", "AuthenticationError", "StepCanceledError"})

Document = dict[str, Any]
logger = logging.getLogger("bankmlops.pipelines")


def step_workflow_id(run_id: str, step: str) -> str:
    """The workflow id of a step of a run."""
    return f"{run_id}:{step}"


def is_canceled(run_id: str) -> bool:
    """Whether somebody ended the run."""
    status = DBOS.get_workflow_status(run_id)
    return status is not None and status.status == "CANCELLED"


def define_workflows(workspace: LocalWorkspace, backend: Callable[[], Backend]) -> Callable[[Document], Document]:
    """Register both with DBOS, and answer the workflow of a run."""
    carrier = _StepCarrier(workspace, backend)

    @DBOS.workflow(name=STEP_WORKFLOW)
    def run_pipeline_step(document: Document) -> Document:
        return cast(Document, to_document(carrier.carry_out(from_document(StepRequest, document))))

    @DBOS.workflow(name=RUN_WORKFLOW)
    def run_pipeline(document: Document) -> Document:
        request = from_document(RunRequest, document)
        return _Conductor(cast(str, DBOS.workflow_id), request, run_pipeline_step).conduct()

    return run_pipeline


class _Conductor:
    """Starts the steps of one run, each when what it waits for is done, until no more can start."""

    def __init__(self, run_id: str, request: RunRequest, workflow: Callable[[Document], Document]) -> None:
        self._run_id = run_id
        self._request = request
        self._workflow = workflow
        self._parameters = assign(request.pipeline, request.parameters)
        self._done: dict[str, StepResult] = {}
        self._running: dict[str, WorkflowHandle[Document]] = {}
        self._failures: list[str] = []

    def conduct(self) -> Document:
        """The outputs of all steps; raises `RunFailedError` that begins with the step that failed first."""
        before = self._results_before()
        self._start_ready(before)
        while self._running:
            self._await_one()
            if not self._failures:
                self._start_ready(before)
        if self._failures:
            raise RunFailedError(self._failures[0])
        return {name: dict(result.outputs) for name, result in self._done.items()}

    def _start_ready(self, before: Mapping[str, StepResult]) -> None:
        done = {name: result.outputs for name, result in self._done.items()}
        for step in ready_steps(self._request.pipeline, done, self._running):
            with SetWorkflowID(step_workflow_id(self._run_id, step.name)):
                document = to_document(self._step_request(step, before.get(step.name)))
                self._running[step.name] = DBOS.enqueue_workflow(STEP_QUEUE, self._workflow, cast(Document, document))

    def _await_one(self) -> None:
        handle = DBOS.wait_first(list(self._running.values()), polling_interval_sec=_POLL_SECONDS)
        name = next(name for name, each in self._running.items() if each.workflow_id == handle.workflow_id)
        del self._running[name]
        try:
            self._done[name] = from_document(StepResult, handle.get_result())
        except Exception as error:
            self._failures.append(f"{name}: {' '.join(str(error).split())}")

    def _step_request(self, step: Step, taken_over: StepResult | None) -> StepRequest:
        request = self._request
        return StepRequest(
            run_id=self._run_id,
            pipeline_name=request.pipeline.name,
            step=step,
            inputs=resolved(step.inputs, self._look_up),
            parameters=self._parameters,
            experiment_name=request.experiment,
            tags={**request.pipeline.tags, **request.tags},
            allow_reuse=step.allow_reuse and request.allow_reuse is not False,
            taken_over=taken_over,
            taken_over_from=request.resubmitted_from if taken_over else "",
        )

    def _look_up(self, reference: Reference) -> Any:
        if not isinstance(reference, OutputReference):
            return self._parameters[reference.name]
        return self._done[reference.step].outputs.get(reference.output)

    def _results_before(self) -> Mapping[str, StepResult]:
        """The results that this run takes over from the run that it was resubmitted from."""
        if not self._request.resubmitted_from:
            return {}
        found = DBOS.run_step({"name": "results before"}, _finished_steps, self._request.resubmitted_from)
        anew: set[str] = set()
        if self._request.from_step:
            anew = {self._request.from_step, *after(self._request.pipeline, [self._request.from_step])}
        return {name: from_document(StepResult, each) for name, each in found.items() if name not in anew}


def _finished_steps(run_id: str) -> Mapping[str, Document]:
    """The results of those steps of a run that ended well, by name."""
    found = DBOS.list_workflows(parent_workflow_id=run_id, name=STEP_WORKFLOW, status="SUCCESS")
    return {status.workflow_id.removeprefix(f"{run_id}:"): cast(Document, status.output) for status in found}


class _StepCarrier:
    """Carries a step out: finds whether its result is known already, else tries until it has one or no retry is left."""

    def __init__(self, workspace: LocalWorkspace, backend: Callable[[], Backend]) -> None:
        self._workspace = workspace
        self._backend = backend

    def carry_out(self, request: StepRequest) -> StepResult:
        """The step's result; raises what its last attempt raised."""
        if request.taken_over is not None:
            return _taken_over(request)
        retries = request.step.retries
        for attempt in range(1, retries.count + 1):
            try:
                return self._attempt(request, attempt)
            except Exception as error:
                if _kind_of(error) in _HOPELESS:
                    raise
                DBOS.sleep(retries.wait_before(attempt + 1))
        return self._attempt(request, retries.count + 1)

    def _attempt(self, request: StepRequest, attempt: int) -> StepResult:
        plan = from_document(Plan, DBOS.run_step({"name": f"{attempt}.plan"}, self._plan, request, attempt))
        if plan.reused is not None:
            return StepResult(plan.reused, plan.hash, plan.reused_from, plan.reason, attempt, _seconds_since(plan.began))
        outputs: dict[str, str] = {}
        for part in parts_of(request.step.kind):
            outputs |= DBOS.run_step({"name": f"{attempt}.{part.name}"}, self._perform, part, request, plan, attempt, outputs)
        if plan.is_reusable:
            DBOS.run_step({"name": f"{attempt}.keep"}, self._keep, request, plan, outputs)
        return StepResult(outputs, plan.hash, "", plan.reason, attempt, _seconds_since(plan.began))

    def _plan(self, request: StepRequest, attempt: int) -> Document:
        with _logged(self._context(request, Plan(inputs=request.inputs), attempt), "plan"):
            return cast(Document, to_document(make_plan(request, self._backend(), PipelineResults(self._workspace), time.time())))

    def _perform(self, part: Part, request: StepRequest, plan: Plan, attempt: int, outputs: Mapping[str, str]) -> dict[str, str]:
        context = self._context(request, plan, attempt)
        with _logged(context, part.name):
            context.check()
            return dict(part.run(context, outputs))

    def _keep(self, request: StepRequest, plan: Plan, outputs: Mapping[str, str]) -> None:
        PipelineResults(self._workspace).keep(request, plan, outputs)

    def _context(self, request: StepRequest, plan: Plan, attempt: int) -> StepContext:
        minutes = request.step.timeout_minutes
        return StepContext(
            run_id=request.run_id,
            step=request.step,
            inputs=plan.inputs,
            attempt=attempt,
            experiment_name=request.experiment_name,
            tags=request.tags,
            backend=self._backend(),
            workspace=self._workspace,
            folder=StepFolder(self._workspace, request.run_id, request.step.name),
            is_canceled=lambda: is_canceled(request.run_id),
            deadline=plan.began + minutes * 60 if minutes is not None else math.inf,
        )


@contextmanager
def _logged(context: StepContext, part: str) -> Iterator[None]:
    """Say in the step's log how a part of it began, and why it failed."""
    context.log(f"attempt {context.attempt}: {part} starts")
    try:
        yield
    except Exception as error:
        context.log(f"attempt {context.attempt}: {part} failed: {error}")
        known = isinstance(error, BankMLOpsError)
        logger.warning("run %s: step %s failed: %s", context.run_id, context.step.name, error, exc_info=None if known else error)
        raise


def _seconds_since(moment: float) -> float:
    return max(time.time() - moment, 0.0)


def _taken_over(request: StepRequest) -> StepResult:
    before, source = cast(StepResult, request.taken_over), request.taken_over_from
    return StepResult(before.outputs, before.hash, source, f"taken over from run {source}", 0)


def _kind_of(error: Exception) -> str:
    """The name of the error's class; after a crash it comes back as a record of itself."""
    return error.name if isinstance(error, PortableWorkflowError) else type(error).__name__
