"""How long work says how far it is: the amount done and the total (0: unknown)."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]


def silent(done: int, total: int) -> None:
    """Tell nobody."""
