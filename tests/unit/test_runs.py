"""Waiting for a run whose backend does not answer now and then."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bankmlops import runs
from bankmlops.errors import BackendUnavailableError
from bankmlops.types import Run, RunStatus

GOES_ON, DONE = (Run("AutoML_1", "nightly", status, "accuracy") for status in (RunStatus.RUNNING, RunStatus.COMPLETED))


def _reading(*answers: Run | BackendUnavailableError) -> Callable[[str], Run]:
    """A backend's `get_run` that answers these in turn."""
    left = list(answers)

    def read(_run_id: str) -> Run:
        answer = left.pop(0)
        if isinstance(answer, BackendUnavailableError):
            raise answer
        return answer

    return read


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each pause was that was not made."""
    pauses: list[float] = []
    monkeypatch.setattr(runs.time, "sleep", pauses.append)
    return pauses


def test_a_backend_that_is_away_for_a_moment(slept: list[float]) -> None:
    """It is asked again when it wants to be, or after a second, but not after longer than ten, and the run is seen to its end."""
    away = [BackendUnavailableError("busy", 5.0), BackendUnavailableError("gone"), BackendUnavailableError("stopping", 3600.0)]
    seen: list[Run] = []
    ended = runs.wait(_reading(GOES_ON, *away, DONE), "AutoML_1", timeout_seconds=60, poll_seconds=0.5, on_change=seen.append)
    assert ended == DONE
    assert seen == [GOES_ON, DONE]
    assert slept == [0.5, 5.0, 1.0, 10.0]


def test_a_backend_that_stays_away(slept: list[float]) -> None:
    """Four times without an answer in a row is an error, and the last one is told."""
    away = [BackendUnavailableError(f"gone {number}") for number in range(5)]
    with pytest.raises(BackendUnavailableError, match="gone 3"):
        runs.wait(_reading(*away), "AutoML_1", timeout_seconds=60)
    assert slept == [1.0, 1.0, 1.0]


def test_no_pause_outlasts_the_wait(slept: list[float]) -> None:
    """A backend that wants to be asked after the wait's end is not waited for."""
    with pytest.raises(BackendUnavailableError, match="busy"):
        runs.wait(_reading(BackendUnavailableError("busy", 5.0), DONE), "AutoML_1", timeout_seconds=2)
    assert slept == []
