"""Many small questions to the cloud at once, in order: a list of runs costs a few requests for each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")
AT_ONCE = 8


def each(ask: Callable[[A], B], items: Sequence[A]) -> Sequence[B]:
    """`ask` of every item, at most eight at a time; the first error is raised."""
    if not items:
        return ()
    with ThreadPoolExecutor(min(AT_ONCE, len(items)), thread_name_prefix="azure") as pool:
        return tuple(pool.map(ask, items))
