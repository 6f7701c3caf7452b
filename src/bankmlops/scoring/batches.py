"""The queue in front of a process beside the worker: a bounded number of requests, each for a bounded time."""

from __future__ import annotations

import asyncio

from bankmlops.scoring.aside import Aside, Request
from bankmlops.scoring.aside_process import Answer
from bankmlops.scoring.limits import Limits
from bankmlops.scoring.refusal import overloaded, timed_out


class Batches:
    """Requests that are answered aside. To be used from the event loop alone."""

    def __init__(self, aside: Aside, limits: Limits) -> None:
        self.queued = 0
        self._aside = aside
        self._limits = limits

    async def answer(self, request: Request) -> Answer:
        """Wait for the turn and the answer. Raises `RefusedError`; 503 where the queue is full or the time is over."""
        if self.queued >= self._limits.queued_batches:
            raise overloaded("too many large requests wait already: try again, or send fewer rows in a request")
        self.queued += 1
        task = asyncio.create_task(self._aside.answer(request))
        task.add_done_callback(self._count_down)
        try:
            # Shielded: what was begun aside goes on, and its place in the queue is free only once it has ended.
            return await asyncio.wait_for(asyncio.shield(task), self._limits.scoring_seconds)
        except TimeoutError as error:
            raise timed_out(self._limits.scoring_seconds) from error

    def close(self) -> None:
        """The process ends, whatever it does."""
        self._aside.close()

    def _count_down(self, task: asyncio.Task[Answer]) -> None:
        self.queued -= 1
        if not task.cancelled():
            task.exception()  # looked at, for the case that nobody waits any more
