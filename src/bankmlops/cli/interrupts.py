"""Ctrl-C, and being told to end: the first takes everything down in order, the next do not disturb that."""

from __future__ import annotations

import os
import signal
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class InterruptedBySignal(KeyboardInterrupt):
    """A Ctrl-C, or another signal that asks for an orderly end."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.exit_code = 128 + number


def install() -> None:
    """Turn the signals into `InterruptedBySignal`; one that this process was started to ignore stays ignored (nohup)."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _first)


def _first(number: int, _frame: FrameType | None) -> None:
    for other in _SIGNALS:
        if signal.getsignal(other) is _first:
            signal.signal(other, _again)
    raise InterruptedBySignal(number)


def _again(_number: int, _frame: FrameType | None) -> None:
    os.write(2, b"being taken down already; wait a moment\n")  # a buffered stream may be in the middle of a write
