"""A pipeline run as its reader sees it, from what DBOS recorded of the workflow and its steps. Reads alone, never writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType

from dbos import StepInfo, WorkflowStatus

from bankmlops.local.pipeline_steps import SHOWN_STEPS, STEPS
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
_ERROR_CHARACTERS = 500


def read_run(status: WorkflowStatus, steps: Sequence[StepInfo]) -> PipelineRun:
    """The run with its four steps, those that have not begun included."""
    request = status.input["args"][0] if status.input else {}
    run_status = _run_status(status, steps)
    recorded = {step["function_name"]: step for step in steps}
    return PipelineRun(
        id=status.workflow_id,
        experiment_name=request.get("experiment_name", ""),
        status=run_status,
        steps=tuple(_step_run(name, run_status, recorded) for name in SHOWN_STEPS),
        pipeline_id=request.get("pipeline_id", ""),
        outputs=_outputs(steps),
        started=_moment(status.created_at),
        ended=_moment(status.completed_at) if run_status.is_final else None,
        error=_error(status, steps) if run_status is RunStatus.FAILED else "",
    )


def _run_status(status: WorkflowStatus, steps: Sequence[StepInfo]) -> RunStatus:
    """A run that a crash cut off waits in the queue again, with steps behind it: to its reader it runs."""
    translated = _STATUS[status.status]
    return RunStatus.RUNNING if translated is RunStatus.NOT_STARTED and steps else translated


def _step_run(name: str, run_status: RunStatus, recorded: Mapping[str, StepInfo]) -> StepRun:
    parts = [step.name for step in STEPS if step.shown_as == name]
    done = [recorded[part] for part in parts if part in recorded]
    ids = [str(step["output"]["automl_run_id"]) for step in done if step["output"] and "automl_run_id" in step["output"]]
    return StepRun(
        name=name,
        status=_step_status(parts, done, run_status, recorded),
        seconds=_seconds(done) if len(done) == len(parts) else 0.0,
        run_id=ids[0] if ids else "",
    )


def _step_status(
    parts: Sequence[str], done: Sequence[StepInfo], run_status: RunStatus, recorded: Mapping[str, StepInfo]
) -> RunStatus:
    if any(step["error"] is not None for step in done):
        return RunStatus.CANCELED if run_status is RunStatus.CANCELED else RunStatus.FAILED
    if len(done) == len(parts):
        return RunStatus.COMPLETED
    if run_status is not RunStatus.NOT_STARTED and _is_next(parts, recorded):
        return run_status
    return RunStatus.NOT_STARTED


def _is_next(parts: Sequence[str], recorded: Mapping[str, StepInfo]) -> bool:
    """Whether the first step without a result is one of these, all before it having gone well."""
    if any(step["error"] is not None for step in recorded.values()):
        return False
    return next((step.name for step in STEPS if step.name not in recorded), "") in parts


def _outputs(steps: Sequence[StepInfo]) -> Mapping[str, str]:
    return {key: str(value) for step in steps for key, value in (step["output"] or {}).items()}


def _seconds(done: Sequence[StepInfo]) -> float:
    began, ended = done[0]["started_at_epoch_ms"], done[-1]["completed_at_epoch_ms"]
    return max(ended - began, 0) / 1000 if began is not None and ended is not None else 0.0


def _error(status: WorkflowStatus, steps: Sequence[StepInfo]) -> str:
    """One line; the step at fault first."""
    message = " ".join(str(status.error or f"ended {status.status}").split())[:_ERROR_CHARACTERS]
    failed = next((step["function_name"] for step in steps if step["error"] is not None), "")
    shown = next((step.shown_as for step in STEPS if step.name == failed), "")
    return f"{shown}: {message}" if shown else message


def _moment(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds is not None else None
