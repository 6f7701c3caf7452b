"""Starts the control server of a workspace as a process of its own, finds it again from any other process, and stops it."""

from __future__ import annotations

import os
import time
from contextlib import suppress

import httpx
import psutil

from bankmlops.errors import BackendUnavailableError
from bankmlops.local.control.files import ControlFiles, ControlRecord
from bankmlops.local.loopback import OPTIONS
from bankmlops.local.processes import ProcessIdentity, is_alive, start_detached
from bankmlops.local.workspace import LocalWorkspace

MODULE = "bankmlops.local.control.server"
_START_SECONDS = 120.0
_STOP_SECONDS = 15.0
_POLL_SECONDS = 0.05


def find_control_server(files: ControlFiles) -> ControlRecord | None:
    """The server that runs, whether or not it answers yet."""
    record = files.read_record()
    return record if record is not None and is_alive(record.process) else None


def start_control_server(workspace: LocalWorkspace) -> ControlRecord:
    """Start it and wait until it answers, or answer the one that runs.

    Raises `BackendUnavailableError` with its last line where it did not start.
    """
    files = ControlFiles(workspace)
    with workspace.lock("control-start", timeout_seconds=_START_SECONDS + 10):
        running = find_control_server(files)
        answering = _await_unless_it_ends(files, running.process) if running else None
        if answering is not None:
            return answering
        files.clear_output()
        arguments = ["--workspace", str(workspace.folder)]
        process = start_detached(MODULE, arguments, files.output, files.folder, os.environ)  # the engine's database too
        return _wait_until_it_answers(files, process)


def stop_control_server(workspace: LocalWorkspace) -> None:
    """Stop it (idempotent). Only its own process ends: what trains goes on, and its pipeline runs resume at the next start."""
    files = ControlFiles(workspace)
    with workspace.lock("control-start", timeout_seconds=_START_SECONDS + 10):
        running = find_control_server(files)
        if running is not None:
            _end_alone(running.process)
        files.remove_record()


def _end_alone(identity: ProcessIdentity) -> None:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(identity.pid)
        process.terminate()
        _, alive = psutil.wait_procs([process], timeout=_STOP_SECONDS)
        for survivor in alive:
            survivor.kill()
        psutil.wait_procs(alive, timeout=_STOP_SECONDS)


def _await_unless_it_ends(files: ControlFiles, process: ProcessIdentity) -> ControlRecord | None:
    """The server, once it answers; None where it was about to end."""
    try:
        return _wait_until_it_answers(files, process)
    except BackendUnavailableError:
        if is_alive(process):
            raise
        return None


def _wait_until_it_answers(files: ControlFiles, process: ProcessIdentity) -> ControlRecord:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        alive = is_alive(process)
        record = files.read_record()
        if record is not None and record.process == process and _answers(record.url):
            return record
        if not alive:
            raise BackendUnavailableError(f"the control server did not start: {_last_line(files)}")
        time.sleep(_POLL_SECONDS)
    raise BackendUnavailableError(f"the control server did not answer within {_START_SECONDS:.0f} s; see {files.log}")


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/", timeout=5.0, **OPTIONS).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _last_line(files: ControlFiles) -> str:
    lines = [line for line in files.output.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"see {files.log}"
