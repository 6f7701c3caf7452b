"""Runs that are waited for, and runs that end with whoever started them, on any Backend."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from bankmlops.errors import BackendUnavailableError
from bankmlops.types import PipelineRun, Run

AnyRun = TypeVar("AnyRun", Run, PipelineRun)
_ATTEMPTS = 4
GRACE_SECONDS = 3600.0  # beyond its budget: Azure's least is 15 minutes, and a machine may take half an hour to be there
_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 1.0, 10.0


def wait(
    read: Callable[[str], AnyRun],
    run_id: str,
    *,
    timeout_seconds: float,
    poll_seconds: float = 0.5,
    on_change: Callable[[AnyRun], None] | None = None,
) -> AnyRun:
    """Read the run until its status is final, and answer it.

    `read` is a backend's `get_run` or `get_pipeline_run`; `on_change` is called with each new value. Raises
    `BackendUnavailableError` after `timeout_seconds`, and where the backend did not answer four times in a row.
    """
    for run in _changes(read, run_id, timeout_seconds, poll_seconds):
        if on_change:
            on_change(run)
        if run.status.is_final:
            return run
    raise BackendUnavailableError(f"run {run_id} did not end within {timeout_seconds:.0f} s")


def _changes(read: Callable[[str], AnyRun], run_id: str, timeout_seconds: float, poll_seconds: float) -> Iterator[AnyRun]:
    deadline = time.monotonic() + timeout_seconds
    last = None
    while True:
        run = _read(read, run_id, deadline)
        if run != last:
            yield run
        last = run
        if time.monotonic() > deadline:
            return
        time.sleep(poll_seconds)


def _read(read: Callable[[str], AnyRun], run_id: str, deadline: float) -> AnyRun:
    """The run. A backend that does not answer is asked again, when it wants to be, a few times and not past the deadline."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return read(run_id)
        except BackendUnavailableError as error:
            wanted = _RETRY_SECONDS if error.retry_seconds is None else error.retry_seconds
            seconds = min(wanted, _LONGEST_RETRY_SECONDS)
            if time.monotonic() + seconds > deadline:
                raise
            time.sleep(seconds)
    return read(run_id)


@contextmanager
def started(start: Callable[[], str], cancel: Callable[[str], None]) -> Iterator[str]:
    """Start a run, yield its id, and cancel it where the block ends in an error or in Ctrl-C.

    A Ctrl-C while it is being started takes effect when its id is known, so that no run is left that nobody knows of.
    """
    run_id = ""
    try:
        with _interrupts_held():
            run_id = start()
        yield run_id
    except BaseException:
        if run_id:
            cancel(run_id)
        raise


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """The first Ctrl-C (or other signal to end) inside takes effect at the end; a second one at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    ours = {number: handler for number, handler in handlers.items() if callable(handler)}
    held: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        held.append(number)
        restore()

    def restore() -> None:
        for number, handler in ours.items():
            signal.signal(number, handler)

    for number in ours:
        signal.signal(number, hold)
    try:
        yield
    finally:
        restore()
    if held:
        signal.raise_signal(held[0])
