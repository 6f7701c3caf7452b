"""AutoML runs that are to be carried out: what has to be remembered from the request to the last file, across a crash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from bankmlops.emulator.instance import Emulator, WorkspaceState
from bankmlops.emulator.job_store import JobStore
from bankmlops.emulator.state import Document

_JOBS = JobStore("automl_job")


@dataclass(frozen=True, slots=True)
class AutoMLJob:
    """One AutoML run: where it belongs, what it was asked for, which run of the backend carries it out, and what of it is shown.

    `submitter` is the emulator process that gave it to the backend; `published` holds the backend's child ids, which are children
    0, 1, 2, ... of the wire's run, also those of `earlier_run_ids`, which the emulator's end cut off; `facts` is a `TableFacts`
    document.
    """

    run_id: str
    experiment: str
    subscription_id: str
    resource_group: str
    workspace: str
    settings: str
    data_prep: str
    attempt: int = 0
    backend_run_id: str = ""
    submitter: str = ""
    cancel_asked: bool = False
    facts: Mapping[str, Any] | None = None
    published: tuple[str, ...] = ()
    earlier_run_ids: tuple[str, ...] = ()

    def workspace_state(self, emulator: Emulator) -> WorkspaceState:
        """The workspace that the run belongs to."""
        return emulator.workspace(self.subscription_id, self.resource_group, self.workspace)


def add_job(workspace: WorkspaceState, experiment: str, run_id: str, settings: str, data_prep: str) -> None:
    """Have a run carried out; one that was asked for before stays as it is."""
    job = AutoMLJob(
        run_id=run_id,
        experiment=experiment,
        subscription_id=workspace.subscription_id,
        resource_group=workspace.resource_group,
        workspace=workspace.name,
        settings=settings,
        data_prep=data_prep,
    )
    _JOBS.add(workspace.emulator, run_id, asdict(job))


def active_jobs(emulator: Emulator) -> list[AutoMLJob]:
    """The runs that are not finished, oldest first."""
    return [_job(each) for each in _JOBS.active(emulator)]


def find_job(emulator: Emulator, run_id: str) -> AutoMLJob | None:
    """The job of a run, finished or not, or None."""
    found = _JOBS.find(emulator, run_id)
    return _job(found) if found else None


def change_job(emulator: Emulator, job: AutoMLJob, **changes: Any) -> AutoMLJob:
    """Write some fields, and answer the job as it is now."""
    changed = _JOBS.change(emulator, job.run_id, **changes)
    return _job(changed) if changed else replace(job, **changes)


def ask_to_cancel(emulator: Emulator, run_id: str) -> bool:
    """Have an unfinished run ended; False where there is none of this id."""
    if run_id not in [job.run_id for job in active_jobs(emulator)]:
        return False
    _JOBS.change(emulator, run_id, cancel_asked=True)
    return True


def finish_job(emulator: Emulator, job: AutoMLJob) -> None:
    """Nothing is left to do for the run."""
    _JOBS.finish(emulator, job.run_id)


def _job(document: Document) -> AutoMLJob:
    identifiers = {name: tuple(document.get(name, ())) for name in ("published", "earlier_run_ids")}
    return AutoMLJob(**{**document, **identifiers})
