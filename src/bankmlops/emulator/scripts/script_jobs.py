"""Script runs that are to be carried out, remembered across a crash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bankmlops.emulator.instance import Emulator, WorkspaceState
from bankmlops.emulator.job_store import JobStore
from bankmlops.emulator.state import Document

_JOBS = JobStore("script_job")


@dataclass(frozen=True, slots=True)
class ScriptJob:
    """One script run; `starter` is the emulator process that has started it, "" while it waits."""

    run_id: str
    experiment: str
    subscription_id: str
    resource_group: str
    workspace: str
    snapshot_id: str
    configuration: Mapping[str, Any]
    starter: str = ""
    cancel_asked: bool = False

    def workspace_state(self, emulator: Emulator) -> WorkspaceState:
        """The workspace that the run belongs to."""
        return emulator.workspace(self.subscription_id, self.resource_group, self.workspace)


def add_job(workspace: WorkspaceState, experiment: str, run_id: str, snapshot_id: str, configuration: Document) -> None:
    """Have a script run carried out; one that was asked for before stays as it is."""
    job = ScriptJob(
        run_id=run_id,
        experiment=experiment,
        subscription_id=workspace.subscription_id,
        resource_group=workspace.resource_group,
        workspace=workspace.name,
        snapshot_id=snapshot_id,
        configuration=configuration,
    )
    _JOBS.add(workspace.emulator, _key(workspace, run_id), asdict(job))


def active_jobs(emulator: Emulator) -> list[ScriptJob]:
    """The script runs that are not finished, oldest first."""
    return [ScriptJob(**each) for each in _JOBS.active(emulator)]


def is_known(workspace: WorkspaceState, run_id: str) -> bool:
    """Whether the run was ever to be carried out."""
    return _JOBS.find(workspace.emulator, _key(workspace, run_id)) is not None


def ask_to_cancel(workspace: WorkspaceState, run_id: str) -> None:
    """Have a script run ended; a finished one stays as it is."""
    _JOBS.change(workspace.emulator, _key(workspace, run_id), cancel_asked=True)


def show_starter(emulator: Emulator, job: ScriptJob, starter: str) -> None:
    """Write down who has started it, before it starts."""
    _JOBS.change(emulator, _key(job.workspace_state(emulator), job.run_id), starter=starter)


def finish_job(emulator: Emulator, job: ScriptJob) -> None:
    """Nothing is left to do for the run."""
    _JOBS.finish(emulator, _key(job.workspace_state(emulator), job.run_id))


def _key(workspace: WorkspaceState, run_id: str) -> str:
    # The SDK makes up a script run's id, so two workspaces may have the same.
    return f"{workspace.id}/{run_id}"
