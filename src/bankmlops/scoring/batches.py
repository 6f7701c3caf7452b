"""The queue in front of a process beside the worker: a bounded number of requests, each for a bounded time."""

from __future__ import annotations

import asyncio

from bankmlops.scoring.asgi import Receive
from bankmlops.scoring.aside import Aside, Request
from bankmlops.scoring.aside_process import Answer
from bankmlops.scoring.exchange import left
from bankmlops.scoring.limits import Limits
from bankmlops.scoring.refusal import DisconnectedError, RefusedError, overloaded, timed_out


class Batches:
    """Requests that are answered aside. To be used from the event loop alone."""

    def __init__(self, aside: Aside, limits: Limits) -> None:
        self.queued = 0
        self._aside = aside
        self._limits = limits

    async def answer(self, request: Request, receive: Receive) -> Answer:
        """Wait for the turn and the answer; a request that is given up leaves its place to others, and is not begun any more.

        Raises `RefusedError`, 503 where the queue is full or the time is over, which tells who was begun from who only waited;
        `DisconnectedError` where its caller has gone.
        """
        if self.queued >= self._limits.queued_batches:
            raise overloaded(f"too many {self._aside.name} wait already: try again, or send fewer rows in a request")
        self.queued += 1
        seconds, begun = self._limits.scoring_seconds, asyncio.Event()
        answering = asyncio.create_task(self._aside.answer(request, seconds, begun.set))
        leaving = asyncio.create_task(left(receive))
        try:
            await asyncio.wait((answering, leaving), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                return answering.result()
            if leaving.done():
                raise DisconnectedError
            raise timed_out(seconds) if begun.is_set() else self._waited_in_vain(seconds)
        finally:
            answering.cancel()
            leaving.cancel()
            self.queued -= 1

    def _waited_in_vain(self, seconds: float) -> RefusedError:
        return overloaded(f"it has waited for {seconds:g} s behind other {self._aside.name}: try again")

    def close(self) -> None:
        """The process ends, whatever it does."""
        self._aside.close()
