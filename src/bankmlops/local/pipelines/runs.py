"""A pipeline run as its reader sees it, from what DBOS recorded of the run's workflow and its steps'. Reads, never writes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from dbos import StepInfo, WorkflowStatus

from bankmlops.backend import Backend
from bankmlops.errors import BankMLOpsError
from bankmlops.local.log_tail import last_lines
from bankmlops.local.pipelines.documents import from_document
from bankmlops.local.pipelines.files import StepFolder
from bankmlops.local.pipelines.requests import RunRequest, StepResult, read_request
from bankmlops.local.pipelines.workflows import step_workflow_id
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.pipelines import Step
from bankmlops.pipelines.parameters import assign
from bankmlops.pipelines.progress import why_stopped
from bankmlops.types import PipelineRun, RunStatus, StepRun

_STATUS = MappingProxyType(
    {
        "ENQUEUED": RunStatus.NOT_STARTED,
        "DELAYED": RunStatus.NOT_STARTED,
        "PENDING": RunStatus.RUNNING,
        "SUCCESS": RunStatus.COMPLETED,
        "ERROR": RunStatus.FAILED,
        "MAX_RECOVERY_ATTEMPTS_EXCEEDED": RunStatus.FAILED,
        "CANCELLED": RunStatus.CANCELED,
    }
)
_LEFT_OUT = MappingProxyType({RunStatus.FAILED: "the run failed before", RunStatus.CANCELED: "the run was canceled before"})
_ERROR_CHARACTERS = 500
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00 ")


@dataclass(frozen=True, slots=True)
class RunSources:
    """Where more is known of a step that is not done: what its workflow recorded, its AutoML run, its log."""

    parts_of: Callable[[str], Sequence[StepInfo]]
    backend: Callable[[], Backend]
    workspace: LocalWorkspace

    def progress(self, run_id: str, step: str, automl_run_id: str) -> str:
        """The newest line that the step, or its AutoML run, said; empty where there is none."""
        if automl_run_id:
            with suppress(BankMLOpsError):
                return self._of_search(automl_run_id)
        lines = last_lines(StepFolder(self.workspace, run_id, step).log, 1)
        return _MOMENT.sub("", lines[0])[:_ERROR_CHARACTERS] if lines else ""

    def _of_search(self, run_id: str) -> str:
        """What it says, with its best score so far, which it says of itself only while it tries."""
        run = self.backend().get_run(run_id)
        best = None if "best " in run.progress else next(iter(self.backend().list_children(run_id)), None)
        return (
            f"{run.progress}, best {run.primary_metric} {best.score:.4f}" if run.progress and best else run.progress or "starting"
        )


def read_run(run: WorkflowStatus, steps: Sequence[WorkflowStatus], sources: RunSources) -> PipelineRun:
    """The run with all its steps, those that have not begun included."""
    request = read_request(run.input["args"][0] if run.input else {})
    by_id = {status.workflow_id: status for status in steps}
    status = _run_status(run, steps)
    read = _StepReader(run.workflow_id, request, by_id, sources, _LEFT_OUT.get(status, ""))
    shown = tuple(read.step_run(step) for step in request.pipeline.steps)
    return PipelineRun(
        id=run.workflow_id,
        experiment_name=request.experiment,
        status=status,
        steps=shown,
        pipeline_id=request.pipeline_id,
        outputs=_outputs(shown),
        started=_moment(run.created_at),
        ended=_moment(run.completed_at) if status.is_final else None,
        error=_line(run.error or f"ended {run.status}") if status is RunStatus.FAILED else "",
        name=request.pipeline.name,
        parameters={name: _text(value) for name, value in assign(request.pipeline, request.parameters).items()},
        tags={**request.pipeline.tags, **request.tags},
        run_source=request.run_source,
        resubmitted_from=request.resubmitted_from,
    )


class _StepReader:
    """Reads the steps of one run."""

    def __init__(
        self, run_id: str, request: RunRequest, recorded: Mapping[str, WorkflowStatus], sources: RunSources, left_out: str
    ) -> None:
        self._run_id = run_id
        self._recorded = recorded
        self._sources = sources
        self._left_out = left_out
        self._stopped = why_stopped(request.pipeline, self._done(request))

    def step_run(self, step: Step) -> StepRun:
        """One step, begun or not."""
        status = self._status(step.name)
        if status is None:
            reason = self._stopped.get(step.name, self._left_out)[:_ERROR_CHARACTERS]
            return StepRun(step.name, RunStatus.NOT_STARTED, kind=step.kind, depends_on=step.depends_on, reason=reason)
        if status.status == "SUCCESS":
            return _completed(step, status, _result(status))
        return self._unfinished(step, status)

    def _unfinished(self, step: Step, status: WorkflowStatus) -> StepRun:
        parts = self._sources.parts_of(status.workflow_id)
        state = _STATUS[status.status]
        state = RunStatus.RUNNING if state is RunStatus.NOT_STARTED and parts else state
        plan = _last_output(parts, "plan")
        run_id = str(_last_output(parts, "submit").get("automl_run_id", ""))
        ended = _moment(status.completed_at) if state.is_final else None
        started = _moment(parts[0]["started_at_epoch_ms"]) if parts else _moment(status.dequeued_at)
        return StepRun(
            name=step.name,
            status=state,
            seconds=_seconds(started, ended),
            run_id=run_id,
            kind=step.kind,
            depends_on=step.depends_on,
            attempts=_attempts(parts) or int(state is RunStatus.RUNNING),
            reason=str(plan.get("reason", "")),
            progress=self._sources.progress(self._run_id, step.name, run_id) if state is RunStatus.RUNNING else "",
            error=_line(status.error) if status.error else "",
            started=started,
            ended=ended,
            outputs={"automl_run_id": run_id} if run_id else {},
        )

    def _status(self, name: str) -> WorkflowStatus | None:
        return self._recorded.get(step_workflow_id(self._run_id, name))

    def _done(self, request: RunRequest) -> Mapping[str, Mapping[str, str]]:
        found = {step.name: self._status(step.name) for step in request.pipeline.steps}
        return {name: _result(each).outputs for name, each in found.items() if each is not None and each.status == "SUCCESS"}


def _completed(step: Step, status: WorkflowStatus, result: StepResult) -> StepRun:
    started, ended = _moment(status.dequeued_at or status.created_at), _moment(status.completed_at)
    return StepRun(
        name=step.name,
        status=RunStatus.COMPLETED,
        seconds=result.seconds or _seconds(started, ended),
        run_id=result.outputs.get("automl_run_id", "") if step.kind == "automl" else "",
        kind=step.kind,
        depends_on=step.depends_on,
        attempts=result.attempts,
        reused_from=result.reused_from,
        reason=result.reason,
        started=started,
        ended=ended,
        outputs=result.outputs,
    )


def _run_status(run: WorkflowStatus, steps: Sequence[WorkflowStatus]) -> RunStatus:
    """A run that a crash cut off waits in the queue again, with steps behind it: to its reader it runs."""
    translated = _STATUS[run.status]
    return RunStatus.RUNNING if translated is RunStatus.NOT_STARTED and steps else translated


def _result(status: WorkflowStatus) -> StepResult:
    return from_document(StepResult, status.output)


def _outputs(steps: Sequence[StepRun]) -> Mapping[str, str]:
    """The outputs of all steps by name; a name that stands for several values is prefixed by its step."""
    pairs = {(name, value) for step in steps for name, value in step.outputs.items()}
    values = Counter(name for name, _ in pairs)
    return {name if values[name] == 1 else f"{step.name}.{name}": value for step in steps for name, value in step.outputs.items()}


def _last_output(parts: Sequence[StepInfo], name: str) -> Mapping[str, Any]:
    """What the newest part of this name came to, of whichever attempt."""
    found = [part["output"] for part in parts if part["function_name"].partition(".")[2] == name]
    return found[-1] or {} if found else {}


def _attempts(parts: Sequence[StepInfo]) -> int:
    numbers = [part["function_name"].partition(".")[0] for part in parts]
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


def _seconds(started: datetime | None, ended: datetime | None) -> float:
    return max((ended - started).total_seconds(), 0.0) if started and ended else 0.0


def _line(error: object) -> str:
    return " ".join(str(error).split())[:_ERROR_CHARACTERS]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _moment(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds is not None else None
