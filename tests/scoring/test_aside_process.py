"""A process beside the worker, by itself: what it begins, how long it may take, and what brings it back."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest

from bankmlops.errors import ConflictError
from bankmlops.scoring import aside_process
from bankmlops.scoring.asgi import Message
from bankmlops.scoring.aside import Aside, Request
from bankmlops.scoring.aside_process import Answer, Order, Work
from bankmlops.scoring.batches import Batches
from bankmlops.scoring.limits import Limits
from bankmlops.scoring.refusal import DisconnectedError, RefusedError

LONG = 20.0
T = TypeVar("T")


@contextmanager
def _aside(work: Work) -> Iterator[Aside]:
    aside = Aside.start("requests", work)
    try:
        yield aside
    finally:
        aside.close()


def _echo(body: bytes, _: Order) -> Answer:
    return Answer(body, 1, 0.0, b"", [])


async def _stays() -> Message:
    """What the server says of a caller who stays: nothing."""
    await asyncio.sleep(2 * LONG)
    raise AssertionError("it took too long")


def _run(asking: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(asking, LONG))


async def _until(look: Callable[[], object]) -> None:
    while not look():
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("given_up", ["its time is over", "its caller has left"])
def test_what_was_given_up_is_not_begun(tmp_path: Path, given_up: str) -> None:
    """A request that waited in vain leaves its place at once, and the process does the next one instead.

    It did not take long itself, so its caller is told to come again.
    """
    begun, go_on = tmp_path / "begun", tmp_path / "go on"

    def work(body: bytes, order: Order) -> Answer:
        with begun.open("ab") as file:
            file.write(body)
        while not go_on.exists():
            time.sleep(0.01)
        return _echo(body, order)

    async def leaves() -> Message:
        await asyncio.sleep(0.1)
        return {"type": "http.disconnect"}

    async def ask() -> None:
        first = asyncio.create_task(aside.answer(Request([b"first,"]), LONG))
        await _until(begun.exists)
        if given_up == "its caller has left":
            with pytest.raises(DisconnectedError):
                await batches.answer(Request([b"second,"]), leaves)
        else:
            with pytest.raises(RefusedError, match=r"waited for 0\.3 s behind other requests: try again") as caught:
                await batches.answer(Request([b"second,"]), _stays)
            assert (caught.value.reason, caught.value.headers) == ("overloaded", ((b"retry-after", b"1"),))
        assert batches.queued == 0
        third = asyncio.create_task(aside.answer(Request([b"third,"]), LONG))
        go_on.touch()
        assert [(await each).body for each in (first, third)] == [b"first,", b"third,"]

    with _aside(work) as aside:
        batches = Batches(aside, Limits(scoring_seconds=0.3))
        _run(ask())
    assert begun.read_bytes() == b"first,third,"


def test_work_that_never_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the process when the time is over, and another one answers the next request."""
    monkeypatch.setattr(aside_process, "_GRACE_SECONDS", 0.0)

    def work(body: bytes, order: Order) -> Answer:
        while body == b"endless":
            pass
        return _echo(body, order)

    async def ask() -> bytes:
        with pytest.raises(RefusedError, match="the process for requests has ended: try again"):
            await aside.answer(Request([b"endless"]), 0.2)
        return (await aside.answer(Request([b"next"]), LONG)).body

    with _aside(work) as aside:
        assert _run(ask()) == b"next"


def test_who_was_begun_is_told_so(tmp_path: Path) -> None:
    """A request whose own work takes too long is told that it does, and not to come again as it is."""

    def work(body: bytes, order: Order) -> Answer:
        while not (tmp_path / "go on").exists():
            time.sleep(0.01)
        return _echo(body, order)

    async def ask() -> None:
        with pytest.raises(RefusedError, match=r"scoring took longer than 0\.5 s: send fewer rows") as caught:
            await Batches(aside, Limits(scoring_seconds=0.5)).answer(Request([b"first"]), _stays)
        assert (caught.value.reason, caught.value.headers) == ("timeout", ())
        (tmp_path / "go on").touch()

    with _aside(work) as aside:
        _run(ask())


def test_any_time_will_do() -> None:
    """The longest time that the limits take is one that a timer takes."""
    with _aside(_echo) as aside:
        assert _run(aside.answer(Request([b"body"]), 2.0**40)).body == b"body"


def _refuse_forks(monkeypatch: pytest.MonkeyPatch, *refused: int) -> None:
    """From now on, of the forks of this process and those below it, refuse those of these numbers."""
    fork, numbers = os.fork, count()

    def fork_or_not() -> int:
        if next(numbers) in refused:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return fork()

    monkeypatch.setattr(os, "fork", fork_or_not)


def test_no_room_for_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A keeper that is refused a process tries again, and the request waits."""
    monkeypatch.setattr(aside_process, "_PAUSE_SECONDS", 0.05)
    _refuse_forks(monkeypatch, 1, 2)
    with _aside(_echo) as aside:
        assert _run(aside.answer(Request([b"body"]), LONG)).body == b"body"


def test_no_room_for_the_keeper(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is refused a keeper says so in one line, and leaves nothing open."""
    _refuse_forks(monkeypatch, 0)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ConflictError, match="no process for explanations can be started: Resource temporarily unavailable"):
        Aside.start("explanations", _echo)
    assert len(os.listdir("/proc/self/fd")) == before
