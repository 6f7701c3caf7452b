"""A log that does not say the same all the time."""

from __future__ import annotations

import logging

from bankmlops.local.seldom import Seldom


def _record(line: int, message: str) -> logging.LogRecord:
    return logging.LogRecord("dbos", logging.WARNING, "queue.py", line, message, (), None)


def test_each_place_now_and_then() -> None:
    """What one place says again is dropped until its time has passed; another place is heard, and only first lines are."""
    now = 100.0
    seldom = Seldom(10, lambda: now)
    first = _record(1, "away\nand a long story")
    assert seldom.filter(first)
    assert first.getMessage() == "away"
    assert not seldom.filter(_record(1, "away again"))
    assert seldom.filter(_record(2, "something else"))
    now += 10
    assert seldom.filter(_record(1, "still away"))
