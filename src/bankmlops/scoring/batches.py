"""Long work off the event loop, so that small requests keep their latency: one worker thread behind a bounded queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from bankmlops.scoring.limits import Limits
from bankmlops.scoring.refusal import overloaded, timed_out

Answer = TypeVar("Answer")


class Batches(Generic[Answer]):
    """Does `work` on one body at a time. To be used from the event loop alone."""

    def __init__(self, work: Callable[[bytes], Answer], limits: Limits) -> None:
        self.queued = 0
        self._work = work
        self._limits = limits
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batch")

    async def answer(self, body: bytes) -> Answer:
        """Wait for the turn and the answer. Raises `RefusedError` 503 where the queue is full or the time is over."""
        if self.queued >= self._limits.queued_batches:
            raise overloaded("too many large requests wait already: try again, or send fewer rows in a request")
        self.queued += 1
        future = asyncio.get_running_loop().run_in_executor(self._worker, self._work, body)
        future.add_done_callback(self._count_down)
        try:
            # Shielded: a thread can't be stopped, and its place in the queue is free only once it has ended.
            return await asyncio.wait_for(asyncio.shield(future), self._limits.scoring_seconds)
        except TimeoutError as error:
            raise timed_out(self._limits.scoring_seconds) from error

    def close(self) -> None:
        """Forget what still waits."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _count_down(self, future: asyncio.Future[Answer]) -> None:
        self.queued -= 1
        if not future.cancelled():
            future.exception()  # looked at, for the case that nobody waits any more
