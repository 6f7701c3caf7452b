"""Models of trials that did not win: who asks for one's file has it fitted, and waits for it.

A trial that has ended bears the names of a model and its scoring files that are not there yet. The first who asks for one makes
that a job, which `trial_model_keeper` carries out; a job is written down, so a crash loses none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from bankmlops.emulator.automl.automl_files import MODEL_FILES
from bankmlops.emulator.history import runs
from bankmlops.emulator.instance import Emulator, WorkspaceState
from bankmlops.emulator.job_store import JobStore
from bankmlops.emulator.web.wire import hold
from bankmlops.errors import BackendUnavailableError, InvalidRequestError

_JOBS = JobStore("trial_model")


@dataclass(frozen=True, slots=True)
class TrialModelJob:
    """One trial's model: where the trial belongs, and why it could not be had, or ""."""

    run_id: str
    subscription_id: str
    resource_group: str
    workspace: str
    error: str = ""

    @property
    def parent(self) -> str:
        """The AutoML run that the trial is part of."""
        return self.run_id.rpartition("_")[0]

    @property
    def number(self) -> int:
        """Which of the run's children it is."""
        return int(self.run_id.rpartition("_")[2])

    def workspace_state(self, emulator: Emulator) -> WorkspaceState:
        """The workspace that the trial belongs to."""
        return emulator.workspace(self.subscription_id, self.resource_group, self.workspace)


async def wait_for_file(workspace: WorkspaceState, container: str, path: str, is_there: Callable[[], bool]) -> None:
    """Where this is a trial's model or a file beside it, have that fitted, and return when `is_there`; at once for any other.

    Raises `BackendUnavailableError`, upon which the SDK asks again, where it takes longer than an answer is held back, and
    `InvalidRequestError` where it can't be fitted.
    """
    run_id = container.removeprefix("dcid.")
    if path not in MODEL_FILES or is_there() or not _is_trial(workspace, run_id):
        return
    _ask(workspace, run_id)
    await hold(workspace.emulator, lambda: is_there() or not _is_active(workspace.emulator, run_id))
    if is_there():
        return
    job = find_job(workspace.emulator, run_id)
    if job.error:
        raise InvalidRequestError(f"run {run_id} has no {path}: {job.error}")
    raise BackendUnavailableError(f"run {run_id}: its model is being fitted on all rows; ask again in a moment")


def ask_for_model(workspace: WorkspaceState, run_id: str) -> None:
    """Have a trial's model fitted, and return at once. Raises `InvalidRequestError` where it could not be had before."""
    job = _JOBS.find(workspace.emulator, run_id)
    if job is not None and job["error"]:
        raise InvalidRequestError(f"run {run_id} has no model: {job['error']}")
    _ask(workspace, run_id)


def active_jobs(emulator: Emulator) -> list[TrialModelJob]:
    """The models that were asked for and are not there, the first asked for first."""
    return [TrialModelJob(**each) for each in _JOBS.active(emulator)]


def find_job(emulator: Emulator, run_id: str) -> TrialModelJob:
    """The job of a model that was asked for."""
    found = _JOBS.find(emulator, run_id)
    assert found is not None, f"nobody has asked for the model of {run_id}"  # noqa: S101
    return TrialModelJob(**found)


def finish_job(emulator: Emulator, job: TrialModelJob, error: str = "") -> None:
    """The model is there; or it can't be had, for this reason."""
    _JOBS.change(emulator, job.run_id, error=error)
    _JOBS.finish(emulator, job.run_id)


def _is_trial(workspace: WorkspaceState, run_id: str) -> bool:
    run = runs.find_run(workspace, run_id)
    return run is not None and run["properties"].get("runTemplate") == "automl_child"


def _ask(workspace: WorkspaceState, run_id: str) -> None:
    """Who asks for a model that could not be had tries it anew."""
    if not _is_active(workspace.emulator, run_id):
        job = TrialModelJob(run_id, workspace.subscription_id, workspace.resource_group, workspace.name)
        _JOBS.renew(workspace.emulator, run_id, asdict(job))


def _is_active(emulator: Emulator, run_id: str) -> bool:
    return any(job.run_id == run_id for job in active_jobs(emulator))
