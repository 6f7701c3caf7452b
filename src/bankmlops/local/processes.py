"""Processes that outlive the command that started them, and that another command can tell from a stranger with the same number.

Each is marked, and all that it starts inherits the mark: an environment variable that names the folder it works in. So a family
is found whole, even where its head was killed before anyone wrote down its id.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bankmlops.local.disk import disk_errors
from bankmlops.local.pipelines.database import VARIABLE as DATABASE_VARIABLE
from bankmlops.local.shared import is_foreign, own_host

MARK = "BANKMLOPS_PROCESS_FOLDER"
_SAME_START_SECONDS = 0.05
_MAXIMUM_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process id, and when it began in seconds since boot: ids are used again, and the wall clock jumps.

    `host` is the machine, where several share the workspace.
    """

    pid: int
    created: float
    host: str = field(default_factory=own_host)


def own_identity() -> ProcessIdentity:
    """The process that asks."""
    return ProcessIdentity(os.getpid(), _created(psutil.Process()))


def start_detached(
    module: str, arguments: Sequence[str], log: Path, folder: Path, environment: Mapping[str, str] | None = None
) -> ProcessIdentity:
    """Start `python -m module arguments` in a session of its own, from `folder`, both its outputs appended to `log` (0600).

    It has this process's environment without the engine's database, unless it is given one. A terminal's Ctrl-C does not reach
    it, and it outlives this process; while this process lives, it is reaped when it ends.
    """
    with disk_errors(log):
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                cwd=folder,
                env={**(inherited() if environment is None else environment), MARK: str(folder)},
                start_new_session=True,
            )
        finally:
            os.close(descriptor)
    identity = ProcessIdentity(
        process.pid, _created(psutil.Process(process.pid))
    )  # not reaped yet, so it is there, dead or alive
    threading.Thread(target=process.wait, name=f"reap-{process.pid}", daemon=True).start()
    return identity


def inherited() -> Mapping[str, str]:
    """This process's environment without the engine's database."""
    return {name: value for name, value in os.environ.items() if name != DATABASE_VARIABLE}


def is_alive(identity: ProcessIdentity) -> bool:
    """Whether that very process still runs; one of another machine is taken at its word."""
    return is_foreign(identity.host) or _find(identity) is not None


def end_family(identity: ProcessIdentity, folder: Path, grace_seconds: float) -> None:
    """Ask the process to end (SIGTERM), and after `grace_seconds` end it and all that it started; no error where all are gone."""
    process = _find(identity)
    if process is not None:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
        psutil.wait_procs([process], timeout=grace_seconds)
    kill_family(folder)


def kill_family(folder: Path) -> None:
    """End every process that was started with this `folder`, and all that those started, at once."""
    for _ in range(_MAXIMUM_ROUNDS):  # a member may start another while it is being ended
        members = [process for process in psutil.process_iter() if _is_marked(process, str(folder))]
        if not members:
            return
        for process in members:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(members, timeout=5)


def _is_marked(process: psutil.Process, folder: str) -> bool:
    if process.pid == os.getpid():
        return False
    try:
        return process.environ().get(MARK) == folder and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False  # it is gone, or somebody else's


def _find(identity: ProcessIdentity) -> psutil.Process | None:
    if identity.pid <= 0 or is_foreign(identity.host):
        return None
    try:
        process = psutil.Process(identity.pid)
        same = abs(_created(process) - identity.created) < _SAME_START_SECONDS
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _created(process: psutil.Process) -> float:
    return process.create_time() - psutil.boot_time()
