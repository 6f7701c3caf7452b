"""Signals as something to be read in a loop, so that nothing happens in a handler, and a fork can't inherit one half-way."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_WATCHED = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
_MAXIMUM = 4096


class SignalInbox:
    """SIGTERM, SIGINT and SIGCHLD of this process; `select` can wait for them. To be made by the main thread."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._before = {number: signal.signal(number, _noted) for number in _WATCHED}
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)

    def fileno(self) -> int:
        """What to wait on."""
        return self._reader.fileno()

    def taken(self) -> list[int]:
        """The signals that came since the last look, in order."""
        with suppress(BlockingIOError):
            return list(self._reader.recv(_MAXIMUM))
        return []

    @contextmanager
    def held(self) -> Iterator[None]:
        """No signal is delivered inside."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)

    def forget(self) -> None:
        """For a child that was forked while they were held: signals do there what they usually do, but Ctrl-C does nothing."""
        self._close()
        for number in _WATCHED:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)

    def close(self) -> None:
        """Have signals do what they did before."""
        self._close()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _close(self) -> None:
        signal.set_wakeup_fd(-1)
        self._reader.close()
        self._writer.close()


def _noted(number: int, frame: FrameType | None) -> None:
    """The number has gone to the inbox already."""
