"""Pipeline runs that are to be carried out: their steps' ids, fixed before anything starts, so that a crash repeats nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from bankmlops.emulator.instance import Emulator, WorkspaceState
from bankmlops.emulator.job_store import JobStore
from bankmlops.emulator.pipelines.pipeline_steps import StepRequest
from bankmlops.emulator.state import Document

_JOBS = JobStore("pipeline_job")


@dataclass(frozen=True, slots=True)
class PipelineJob:
    """One pipeline run with its steps, in their order."""

    run_id: str
    experiment: str
    subscription_id: str
    resource_group: str
    workspace: str
    steps: tuple[StepRequest, ...]
    cancel_asked: bool = False

    def workspace_state(self, emulator: Emulator) -> WorkspaceState:
        """The workspace that the run belongs to."""
        return emulator.workspace(self.subscription_id, self.resource_group, self.workspace)


def add_job(workspace: WorkspaceState, experiment: str, run_id: str, steps: list[StepRequest]) -> None:
    """Have a pipeline run carried out; one that was asked for before stays as it is."""
    job = PipelineJob(
        run_id=run_id,
        experiment=experiment,
        subscription_id=workspace.subscription_id,
        resource_group=workspace.resource_group,
        workspace=workspace.name,
        steps=tuple(steps),
    )
    _JOBS.add(workspace.emulator, run_id, asdict(job))


def active_jobs(emulator: Emulator) -> list[PipelineJob]:
    """The pipeline runs that are not finished, oldest first."""
    return [_job(each) for each in _JOBS.active(emulator)]


def find_job(emulator: Emulator, run_id: str) -> PipelineJob | None:
    """The job of a pipeline run, finished or not, or None."""
    found = _JOBS.find(emulator, run_id)
    return _job(found) if found else None


def ask_to_cancel(emulator: Emulator, run_id: str) -> None:
    """Have a pipeline run ended; a finished one stays as it is."""
    _JOBS.change(emulator, run_id, cancel_asked=True)


def finish_job(emulator: Emulator, job: PipelineJob) -> None:
    """Nothing is left to do for the pipeline run."""
    _JOBS.finish(emulator, job.run_id)


def _job(document: Document) -> PipelineJob:
    steps = tuple(StepRequest(**each) for each in document["steps"])
    return PipelineJob(**{**document, "steps": steps})
