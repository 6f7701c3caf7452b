"""A token bucket for each caller: it fills at a steady rate up to a burst, and a request takes one token out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

_MAXIMUM_CALLERS = 1000


class RateLimit:
    """`per_second` requests a second in the long run, `burst` of them at once; for one thread, such as an event loop."""

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait_seconds(self, caller: str) -> int:
        """0, with a token taken, where the caller may go on; else after how many whole seconds it may try again."""
        now = self._clock()
        tokens, filled = self._buckets.get(caller, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - filled) * self._per_second)
        if tokens >= 1:
            self._keep(caller, tokens - 1, now)
            return 0
        self._keep(caller, tokens, now)
        return max(1, math.ceil((1 - tokens) / self._per_second))

    def _keep(self, caller: str, tokens: float, now: float) -> None:
        if caller not in self._buckets and len(self._buckets) >= _MAXIMUM_CALLERS:
            self._buckets.pop(min(self._buckets, key=lambda name: self._buckets[name][1]))
        self._buckets[caller] = (tokens, now)
