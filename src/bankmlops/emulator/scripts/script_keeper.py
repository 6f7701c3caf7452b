"""Carries script runs out: starts them in their turn, shows their log while they run, ends them, collects what they wrote."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from bankmlops.emulator.history import artifacts, runs
from bankmlops.emulator.instance import Emulator, WorkspaceState
from bankmlops.emulator.scripts import script_files, script_jobs
from bankmlops.emulator.scripts.script_files import MAX_FILE_BYTES, MAX_FILES
from bankmlops.emulator.scripts.script_jobs import ScriptJob
from bankmlops.emulator.scripts.script_process import ScriptProcess
from bankmlops.errors import BankMLOpsError

LOG_PATH = "user_logs/std_log.txt"
MAXIMUM_SCRIPTS = max(1, (os.cpu_count() or 1) // 2)
SNAPSHOT_PATIENCE = timedelta(minutes=10)
_COLLECTED = ("outputs", "logs")
_FAILED = (
    "AzureMLCompute job failed.\nJobFailed: Submitted script failed with a non-zero exit code; "
    "see the driver log file for details.\n\tReason: Job failed with non-zero exit Code"
)
_THIS_PROCESS = uuid.uuid4().hex
_LOG = logging.getLogger(__name__)


class ScriptKeeper:
    """The scripts of one emulator. Used by one thread, which lives as long as the emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._processes: dict[tuple[str, str], ScriptProcess] = {}
        self._shown: dict[tuple[str, str], int] = {}

    def advance(self) -> None:
        """Take every script run one step further; what goes wrong with one ends that one alone."""
        for job in script_jobs.active_jobs(self._emulator):
            try:
                self._advance(job)
            except BankMLOpsError as error:
                self._end(job, "Failed", str(error))
            except Exception:
                _LOG.exception("script run %s ended by an error of the emulator", job.run_id)
                self._end(job, "Failed", "the emulator failed to carry the script out; its log says why")

    def stop(self) -> None:
        """End every script: each run shows as failed when the emulator starts again."""
        for process in self._processes.values():
            process.remove()
        self._processes.clear()

    def _advance(self, job: ScriptJob) -> None:
        process = self._processes.get(self._place(job))
        if process is None:
            self._begin(job)
            return
        code = process.exit_code()
        self._show_log(job, process)
        if job.cancel_asked or (code is None and process.is_overdue):
            process.stop()
            self._end(job, "Canceled", "" if job.cancel_asked else f"the run has reached its {process.request.seconds:g} s")
        elif code is not None:
            self._end(job, "Completed" if code == 0 else "Failed", "" if code == 0 else f"{_FAILED} {code}")

    def _begin(self, job: ScriptJob) -> None:
        if job.cancel_asked:
            self._end(job, "Canceled")
        elif job.starter:
            self._end(job, "Failed", "JobFailed: the node is lost: the emulator ended while the script ran; submit it again")
        elif not (snapshot_id := _snapshot(job.workspace_state(self._emulator), job)):
            self._wait_for_snapshot(job)
        elif len(self._processes) >= MAXIMUM_SCRIPTS:
            runs.set_status(job.workspace_state(self._emulator), job.run_id, "Queued")
        else:
            script_jobs.show_starter(self._emulator, job, _THIS_PROCESS)
            workspace = job.workspace_state(self._emulator)
            self._processes[self._place(job)] = ScriptProcess(workspace, replace(job, snapshot_id=snapshot_id))
            runs.set_status(workspace, job.run_id, "Running")

    def _wait_for_snapshot(self, job: ScriptJob) -> None:
        created = datetime.fromisoformat(runs.get_run(job.workspace_state(self._emulator), job.run_id)["createdUtc"])
        if datetime.now(UTC) - created > SNAPSHOT_PATIENCE:
            self._end(job, "Failed", "the client that submitted the run has never named its snapshot; submit it again")

    def _show_log(self, job: ScriptJob, process: ScriptProcess) -> None:
        size = process.log.stat().st_size if process.log.exists() else 0
        if size > self._shown.get(self._place(job), 0):
            artifacts.put_run_file(job.workspace_state(self._emulator), job.run_id, LOG_PATH, process.log)
            self._shown[self._place(job)] = size

    def _end(self, job: ScriptJob, status: str, message: str = "") -> None:
        workspace = job.workspace_state(self._emulator)
        process = self._processes.pop(self._place(job), None)
        if process is not None:
            lost = self._collect(job, process, status)
            status, message = ("Failed", lost) if lost and status == "Completed" else (status, message)
        self._shown.pop(self._place(job), None)
        if message:
            error = {"error": {"code": "UserError", "message": message, "details": []}}
            runs.update_run(workspace, job.run_id, {"error": error})
        runs.set_status(workspace, job.run_id, status)
        script_jobs.finish_job(self._emulator, job)

    def _collect(self, job: ScriptJob, process: ScriptProcess, status: str) -> str:
        """End what is left of the script, keep what it wrote, take its folder away, and answer what went wrong."""
        workspace = job.workspace_state(self._emulator)
        try:
            process.stop()
            self._show_log(job, process)
            runs.set_status(workspace, job.run_id, "Finalizing")
            return _keep_files(workspace, job.run_id, process, status)
        finally:
            process.remove()

    def _place(self, job: ScriptJob) -> tuple[str, str]:
        return job.workspace_state(self._emulator).id, job.run_id


def _snapshot(workspace: WorkspaceState, job: ScriptJob) -> str:
    """The job's snapshot; "" for a local run whose client is yet to name it."""
    return job.snapshot_id or str(runs.get_run(workspace, job.run_id)["properties"].get("ContentSnapshotId") or "")


def _keep_files(workspace: WorkspaceState, run_id: str, process: ScriptProcess, status: str) -> str:
    """Put what the script left where it belongs, a completed run's into datasets too, and answer what went wrong."""
    try:
        for path, file in _collected(process.root):
            artifacts.put_run_file(workspace, run_id, path, file)
        for output in process.request.outputs:
            script_files.store(workspace, output, process.output_path(output))
        for output in process.request.outputs if status == "Completed" else ():
            script_files.register(workspace, output)
    except (BankMLOpsError, OSError, ValueError) as error:
        return f"the outputs could not be stored: {error}"
    return ""


def _collected(root: Path) -> Iterator[tuple[str, Path]]:
    """The regular files in ./outputs and ./logs, which Azure uploads by itself: path in the run, and file."""
    number = 0
    for folder in _COLLECTED:
        for file in sorted(islice((root / folder).rglob("*"), MAX_FILES)):
            inside = file.is_file() and file.resolve().is_relative_to(root.resolve())
            if not inside or file.stat().st_size > MAX_FILE_BYTES:
                continue
            number += 1
            if number > MAX_FILES:
                return
            yield file.relative_to(root).as_posix(), file
