"""What is started ends with whoever started it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

from bankmlops.runs import started


@pytest.fixture(autouse=True)
def _ordinary_ctrl_c() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def cancelled() -> list[str]:
    return []


def _start(cancelled: list[str], start: Callable[[], str], inside: Callable[[], None] = lambda: None) -> str:
    with started(start, cancelled.append) as run_id:
        inside()
    return run_id


def test_a_run_that_ends_well_is_left_alone(cancelled: list[str]) -> None:
    """A block that ends without an error leaves its run as it is, and Ctrl-C works as before."""
    assert _start(cancelled, lambda: "run-1") == "run-1"
    assert cancelled == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()])
def test_an_error_cancels(cancelled: list[str], error: BaseException) -> None:
    """A block that ends in an error, or in Ctrl-C, cancels its run."""

    def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        _start(cancelled, lambda: "run-1", fail)
    assert cancelled == ["run-1"]


def test_what_did_not_start_is_not_cancelled(cancelled: list[str]) -> None:
    """Where nothing was started there is nothing to cancel."""

    def fail() -> str:
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        _start(cancelled, fail)
    assert cancelled == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_while_starting(cancelled: list[str]) -> None:
    """A Ctrl-C while the run is being started is held until its id is known; then the run is cancelled."""
    finished = []

    def start() -> str:
        signal.raise_signal(signal.SIGINT)
        finished.append(True)
        return "run-1"

    with pytest.raises(KeyboardInterrupt):
        _start(cancelled, start, lambda: pytest.fail("it went on"))
    assert (finished, cancelled) == ([True], ["run-1"])


def test_a_second_ctrl_c_does_not_wait(cancelled: list[str]) -> None:
    """Who presses Ctrl-C again does not wait for the start to end."""

    def start() -> str:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("it went on")

    with pytest.raises(KeyboardInterrupt):
        _start(cancelled, start)
    assert cancelled == []


def test_an_ignored_signal_stays_ignored(cancelled: list[str]) -> None:
    """A signal that this process ignores (nohup) is not held and changes nothing."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def start() -> str:
        signal.raise_signal(signal.SIGINT)
        return "run-1"

    assert _start(cancelled, start) == "run-1"
    assert cancelled == []
