"""Small requests, answered on the event loop in turns: what arrived meanwhile is scored as one batch, and nobody is waited for.

A turn takes as many requests as fit into `TURN_SECONDS`, by what the last ones took, so that the loop sees arrivals between two
turns. Those that would wait too long behind the others are refused as they arrive, which keeps the wait of the rest short.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from bankmlops.scoring.exchange import Exchange

TURN_SECONDS = 0.004
MAXIMUM_TOGETHER = 64
_NEWEST_SHARE = 0.2


class Connection(Protocol):
    """Where a request came from."""

    def answer(self, request: SmallRequest, head: bytes, body: bytes) -> None:
        """Send the whole answer; `head` is without the empty line at its end."""


class _NobodyWaits:
    """Stands where uvicorn has an event that wakes the request's task: a small request has none."""

    def set(self) -> None:
        """Nothing waits for it."""


class SmallRequest:
    """A request whose length is known and small. To uvicorn's protocol it looks like one of its cycles."""

    __slots__ = (
        "arrived",
        "body",
        "connection",
        "disconnected",
        "exchange",
        "keep_alive",
        "more_body",
        "response_complete",
        "response_started",
    )
    message_event = _NobodyWaits()

    def __init__(self, connection: Connection, exchange: Exchange, *, keep_alive: bool) -> None:
        self.connection = connection
        self.exchange = exchange
        self.keep_alive = keep_alive
        self.arrived = 0.0
        self.body = b""
        self.more_body = True
        self.disconnected = False
        self.response_started = False
        self.response_complete = False


class SmallRequests:
    """The queue. To be used from the event loop alone."""

    def __init__(self, answer: Callable[[Sequence[SmallRequest]], int], turn_bytes: int) -> None:
        self._answer = answer
        self._turn_bytes = turn_bytes
        self._queue: deque[SmallRequest] = deque()
        self._seconds_each = 0.0  # of a turn
        self._seconds_apart = 0.0  # from one answer to the next while others wait: a turn, and what the loop does between two
        self._waited_since = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._queue)

    def seconds_behind(self, ahead: int) -> float:
        """How long a request waits for so many others, by how fast they were answered lately."""
        return ahead * self._seconds_apart

    def put(self, request: SmallRequest) -> None:
        """Have it answered in one of the next turns."""
        request.arrived = time.perf_counter()
        self._queue.append(request)
        if len(self._queue) == 1:
            self._waited_since = time.perf_counter()
            self._call_soon()

    def _call_soon(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Answer the oldest; the queue holds them until then, so that nobody else calls for a turn."""
        together = self._oldest()
        began, scored = time.perf_counter(), 0
        try:
            scored = self._answer(together)
        finally:
            self._learn(began, time.perf_counter(), scored)
            for _ in together:
                self._queue.popleft()
            if self._queue:
                self._call_soon()

    def _oldest(self) -> list[SmallRequest]:
        """The first in any case, and those behind it that fit into the same turn."""
        fitting = int(TURN_SECONDS / self._seconds_each) if self._seconds_each else 1
        count = min(len(self._queue), MAXIMUM_TOGETHER, max(1, fitting))
        together, size = [self._queue[0]], len(self._queue[0].body)
        for index in range(1, count):
            request = self._queue[index]
            size += len(request.body)
            if size > self._turn_bytes:
                break
            together.append(request)
        return together

    def _learn(self, began: float, ended: float, count: int) -> None:
        if count:  # a refusal takes next to nothing, and says nothing of what scoring takes
            self._seconds_each = _nearer(self._seconds_each, (ended - began) / count)
            self._seconds_apart = _nearer(self._seconds_apart, (ended - self._waited_since) / count)
        self._waited_since = ended


def _nearer(known: float, newest: float) -> float:
    return known + (newest - known) * _NEWEST_SHARE if known else newest
