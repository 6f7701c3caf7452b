"""Breakpoints in another process, at what a pipeline asks of its backend: there it says so, and waits to be killed.

Each call is written to a journal as well. `FAULTS_FOLDER` names the folder that the test and the process share.
"""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bankmlops.local.backend import LocalBackend
from bankmlops.local.training import automl_runs

OPERATIONS = ("get_dataset", "submit_automl", "get_run", "register_model", "deploy_model")
BEFORE, AFTER = "before", "after"
_READERS = "AnyIO"  # the threads that answer requests: they only look, and a breakpoint is for those who do
TRAINER = "support.scripted_automl_worker"


@dataclass(frozen=True)
class Call:
    """An operation that a process begins (`before`) or has done (`after`)."""

    operation: str
    moment: str
    pid: int


class FaultsFolder:
    """The breakpoint that is set, whether it was reached, and the journal."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def set(self, operation: str, moment: str) -> None:
        """The next process that gets there stops there."""
        self.clear()
        (self._folder / "breakpoint").write_text(f"{operation} {moment}")

    def clear(self) -> None:
        """None is set."""
        for name in ("breakpoint", "reached"):
            (self._folder / name).unlink(missing_ok=True)

    def reached_by(self) -> int:
        """The process that stands at the breakpoint; 0 where none does."""
        path = self._folder / "reached"
        return int(path.read_text() or 0) if path.exists() else 0

    def calls(self) -> list[Call]:
        """All calls so far, in their order."""
        path = self._folder / "journal"
        return [Call(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []

    def pass_by(self, call: Call) -> None:
        """Write the call down, and stop where a breakpoint is set."""
        with (self._folder / "journal").open("a") as journal:
            journal.write(json.dumps(asdict(call)) + "\n")
        path = self._folder / "breakpoint"
        if path.exists() and path.read_text() == f"{call.operation} {call.moment}":
            (self._folder / "reached").write_text(str(call.pid))
            while path.exists():
                time.sleep(0.05)


def install(faults: FaultsFolder) -> None:
    """Have this process stop at breakpoints, and train by script where `SCRIPTED_OUTPUTS` is set."""
    for operation in OPERATIONS:
        setattr(LocalBackend, operation, _watched(operation, getattr(LocalBackend, operation), faults))
    if "SCRIPTED_OUTPUTS" in os.environ:
        automl_runs._WORKER = TRAINER


def _watched(operation: str, method: Callable[..., Any], faults: FaultsFolder) -> Callable[..., Any]:
    @functools.wraps(method)
    def watched(*arguments: Any, **named: Any) -> Any:
        if threading.current_thread().name.startswith(_READERS):
            return method(*arguments, **named)
        if operation != "get_run":
            faults.pass_by(Call(operation, BEFORE, os.getpid()))
        answer = method(*arguments, **named)
        if operation != "get_run" or answer.status.is_final:  # a wait asks for it again and again
            faults.pass_by(Call(operation, AFTER, os.getpid()))
        return answer

    return watched


def installed_from_environment() -> None:
    """What a process under test does first."""
    install(FaultsFolder(Path(os.environ["FAULTS_FOLDER"])))
