"""Waits for what another process or thread is about to do, for a bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(look: Callable[[], object], seconds: float = 120.0) -> None:
    """Look until it is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
