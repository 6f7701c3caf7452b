"""Waiting on the cloud has a bound, and what can't be mended by waiting is not waited for."""

from __future__ import annotations

import sys
import time

import pytest
from azureml.exceptions import WebserviceException

from bankmlops.azure.calls import reading, writing
from bankmlops.azure.retries import ATTEMPTS, TimedOutError, poll, retried
from bankmlops.errors import BackendUnavailableError, NotFoundError


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were asked for; none is slept."""
    asked: list[float] = []
    monkeypatch.setattr(time, "sleep", asked.append)
    return asked


class _Cloud:
    """Fails so many times, then answers."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.asked = 0
        self._failures = failures
        self._error = error

    def ask(self) -> str:
        self.asked += 1
        if self.asked <= self._failures:
            raise self._error
        return "answer"


def test_a_fault_that_passes(naps: list[float]) -> None:
    """Faults that pass are tried over, with pauses between."""
    cloud = _Cloud(2, BackendUnavailableError("503"))
    assert retried(cloud.ask) == "answer"
    assert (cloud.asked, len(naps)) == (3, 2)


def test_a_fault_that_stays(naps: list[float]) -> None:
    """A fault that stays is told after a bounded number of attempts."""
    cloud = _Cloud(99, BackendUnavailableError("503"))
    with pytest.raises(BackendUnavailableError, match="503"):
        retried(cloud.ask)
    assert cloud.asked == ATTEMPTS


def test_an_error_that_waiting_wont_mend(naps: list[float]) -> None:
    """What is not there is not asked for again."""
    cloud = _Cloud(99, NotFoundError("no run"))
    with pytest.raises(NotFoundError):
        retried(cloud.ask)
    assert (cloud.asked, naps) == (1, [])


def test_polling_ends_when_it_is_done(naps: list[float]) -> None:
    """The first look is at once, the pauses grow, and the value that is done is answered."""
    states = iter(["Running", "Running", "Running", "Succeeded"])
    assert poll(lambda: next(states), lambda state: state == "Succeeded", what="it", timeout_seconds=60) == "Succeeded"
    assert len(naps) == 3
    assert naps == sorted(naps)


def test_polling_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the time is up, the error says what was waited for and how long."""
    clock = iter(range(0, 10_000, 20))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    with pytest.raises(TimedOutError, match="the deletion of x was not done within 60 s"):
        poll(lambda: "Running", lambda state: state == "Succeeded", what="the deletion of x", timeout_seconds=60)


def test_reading_is_tried_again(naps: list[float]) -> None:
    """An operation that only reads is repeated, whatever the SDK calls the fault."""
    cloud = _Cloud(1, WebserviceException("Response Code: 503"))
    assert reading(cloud.ask)() == "answer"
    assert cloud.asked == 2


def test_writing_is_asked_for_once(naps: list[float]) -> None:
    """An operation that changes something is not repeated, since it may have been heard."""
    cloud = _Cloud(1, WebserviceException("Response Code: 503"))
    with pytest.raises(BackendUnavailableError):
        writing(cloud.ask)()
    assert cloud.asked == 1


def test_the_sdk_is_kept_off_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """What the SDK prints is not mixed into our results, and stdout is as it was afterwards."""
    before = sys.stdout

    def chatter() -> str:
        print("Creating service...")  # noqa: T201
        return "answer"

    assert writing(chatter)() == "answer"
    assert sys.stdout is before
    assert capsys.readouterr().out == ""
