"""Waiting on the cloud: transient faults are tried again with backoff, long operations are polled, and both have a bound."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from bankmlops.errors import BackendUnavailableError

T = TypeVar("T")
ATTEMPTS = 4
LIMIT_SECONDS = 60.0
FIRST_POLL_SECONDS = 0.5
SLOWEST_POLL_SECONDS = 10.0

log = logging.getLogger(__name__)


class TimedOutError(BackendUnavailableError):
    """The cloud answered all the time, and was not done in time."""


def bound_the_sdk() -> None:
    """Before the SDK is imported: it repeats each request up to three times, and would begin with pauses of up to 32 s.

    Its own variables set that; who has set them keeps what they say.
    """
    os.environ.setdefault("AZUREML_DEFAULT_BACKOFF", "4")
    os.environ.setdefault("AZUREML_DEFAULT_503_BACKOFF", "2")


def retried(read: Callable[[], T]) -> T:
    """Call something that may be called again, up to four times within a minute while `BackendUnavailableError` comes."""
    retrying = Retrying(
        retry=retry_if_exception_type(BackendUnavailableError),
        stop=stop_after_attempt(ATTEMPTS) | stop_after_delay(LIMIT_SECONDS),
        wait=wait_random_exponential(multiplier=0.5, max=8.0),
        before_sleep=_say,
        reraise=True,
    )
    return retrying(read)


def _say(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.info("attempt %d failed, trying again: %s", state.attempt_number, error)


def poll(read: Callable[[], T], done: Callable[[T], bool], *, what: str, timeout_seconds: float) -> T:
    """Read again and again, ever more slowly, until `done`; raises `TimedOutError` when the time is up.

    The first read is at once, because the cloud may have finished already.
    """
    deadline = time.monotonic() + timeout_seconds
    pause = FIRST_POLL_SECONDS
    while True:
        value = retried(read)
        if done(value):
            return value
        if time.monotonic() + pause > deadline:
            raise TimedOutError(f"{what} was not done within {timeout_seconds:.0f} s; look at it again later")
        time.sleep(pause)
        pause = min(pause * 1.3, SLOWEST_POLL_SECONDS)
