"""Where trials run: submit, hear what ended, kill. This one keeps them in processes of this machine, forked from a nursery."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Protocol, cast

import numpy

from bankmlops.automl.tasks import FitResult, FitTask, read_result, save_array
from bankmlops.errors import RunFailedError

Array = numpy.ndarray[Any, Any]
_CHUNK = 1 << 16
# One thread a library, since tasks run beside each other; where a learner is given more, they wait without spinning.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


class Executor(Protocol):
    """Runs tasks beside each other. Losing the process of one costs that task alone."""

    def submit(self, task: FitTask) -> None:
        """Begin the task."""

    def next_ended(self, timeout_seconds: float) -> tuple[FitTask, FitResult] | None:
        """A task that ended since, waiting for one at most so long; None where none did."""

    def kill(self, task: FitTask) -> None:
        """End it at once; it is not heard of again."""

    @property
    def running(self) -> int:
        """How many tasks have begun and not ended."""

    @property
    def slots(self) -> int:
        """How many tasks there are processors for."""


@contextmanager
def processes(folder: Path, matrix: Array, labels: Array, folds: Array, *, network: bool = False) -> Iterator[ProcessExecutor]:
    """An executor over processes of this machine, which all end with the block. `folder` takes the table and what tasks leave.

    With `network` what a network needs is imported ahead of the first task, and not with the first network.
    """
    for name, array in (("matrix", matrix), ("labels", labels), ("folds", folds)):
        save_array(folder / f"{name}.npy", array)
    nursery = subprocess.Popen(
        [sys.executable, "-P", "-m", "bankmlops.automl.nursery", str(folder), *(["network"] if network else [])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        env={**os.environ, **ONE_THREAD},
    )
    commands, reports = cast("IO[bytes]", nursery.stdin), cast("IO[bytes]", nursery.stdout)
    try:
        yield ProcessExecutor(folder, commands, reports)
    finally:
        with suppress(BrokenPipeError):
            commands.close()
        _end(nursery)
        reports.close()
        (folder / "matrix.npy").unlink(missing_ok=True)


class ProcessExecutor:
    """An `Executor` that speaks to a nursery: `commands` it reads, `reports` it writes."""

    def __init__(self, folder: Path, commands: IO[bytes], reports: IO[bytes]) -> None:
        self._folder = folder
        self._commands = commands
        self._reports = reports
        self._running: dict[str, FitTask] = {}
        self._began: dict[str, float] = {}
        self._pending = b""
        self._ended: list[FitTask] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(reports, selectors.EVENT_READ)

    @property
    def running(self) -> int:
        """How many tasks have begun and not ended."""
        return len(self._running)

    @property
    def slots(self) -> int:
        """How many tasks there are processors for: those that this process may use."""
        return len(os.sched_getaffinity(0))

    def submit(self, task: FitTask) -> None:
        """Begin the task. Raises `RunFailedError` where the nursery is gone."""
        self._running[task.name] = task
        self._began[task.name] = time.perf_counter()
        self._command({"fit": asdict(task)})

    def kill(self, task: FitTask) -> None:
        """End it at once; it is not heard of again."""
        self._began.pop(task.name, None)
        self._ended = [each for each in self._ended if each.name != task.name]
        if self._running.pop(task.name, None) is not None:
            self._command({"kill": task.name})

    def next_ended(self, timeout_seconds: float) -> tuple[FitTask, FitResult] | None:
        """A task that ended, with what it left; one whose process died has the error that says so.

        Raises `OSError` where the disk refused what a task wanted to leave: it would refuse the next one's too.
        """
        deadline = time.monotonic() + timeout_seconds
        while not self._ended:
            left = deadline - time.monotonic()
            if left <= 0 or not self._selector.select(left):
                return None
            self._listen()
        task = self._ended.pop(0)
        seconds = time.perf_counter() - self._began.pop(task.name)
        died = FitResult(seconds, cpu_seconds=seconds, error="its process died (killed, or out of memory)")
        return task, read_result(self._folder, task) or died

    def _listen(self) -> None:
        chunk = os.read(self._reports.fileno(), _CHUNK)
        if not chunk:
            raise RunFailedError("the process that trials are forked from died; the run's log may say why (out of memory?)")
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if refusal := message.get("disk", 0):
                raise OSError(refusal, os.strerror(refusal), str(self._folder))
            task = self._running.pop(message.get("ended", ""), None)
            if task is not None:
                self._ended.append(task)

    def _command(self, command: dict[str, Any]) -> None:
        try:
            self._commands.write(json.dumps(command).encode() + b"\n")
        except BrokenPipeError:
            raise RunFailedError("the process that trials are forked from died; the run's log may say why") from None


def _end(nursery: subprocess.Popen[bytes]) -> None:
    try:
        nursery.wait(5)
    except subprocess.TimeoutExpired:
        nursery.kill()
        nursery.wait()
