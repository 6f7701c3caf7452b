"""Keeps a library from filling a disk with what it says again and again, such as that a database is away."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable


class Seldom(logging.Filter):
    """Lets through the first line of a message, and what one place in the source says once in so many seconds."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._seconds = seconds
        self._clock = clock
        self._said: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is said."""
        place, now = (record.pathname, record.lineno), self._clock()
        if now - self._said.get(place, -self._seconds) < self._seconds:
            return False
        self._said[place] = now
        record.msg, record.args = record.getMessage().partition("\n")[0], ()
        return True
