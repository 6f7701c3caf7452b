"""A worker as its supervisor sees it: a process that was forked, how far it is, and what it said of itself."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from contextlib import suppress
from enum import Enum, auto

from bankmlops.scoring.server import RETIRE
from bankmlops.scoring.service import Service
from bankmlops.scoring.worker import GO

_MAXIMUM_REPORT = 65536


class Stage(Enum):
    """How far a worker is."""

    STARTING = auto()  # it loads its model
    ABLE = auto()  # it waits for the word to begin
    SERVING = auto()
    LEAVING = auto()  # it was told to go


class WorkerProcess:
    """`service` is whose model it serves; `place` is the number of its place among the metrics."""

    def __init__(self, pid: int, service: Service, place: int, channel: socket.socket) -> None:
        self.pid = pid
        self.service = service
        self.place = place
        self.channel = channel
        self.started = time.monotonic()
        self.stage = Stage.STARTING
        self.algorithm = ""
        self.complaint = ""
        self.has_reported = False
        self._told_to_leave: float | None = None

    def fileno(self) -> int:
        """What to wait on for its report."""
        return self.channel.fileno()

    def read_report(self) -> None:
        """Take what it said of itself, if it did."""
        self.has_reported = True
        try:
            report = json.loads(self.channel.recv(_MAXIMUM_REPORT) or b"{}")
        except (OSError, ValueError):
            report = {}
        self.complaint = report.get("error", "")
        self.algorithm = report.get("algorithm", self.algorithm)
        if self.algorithm and self.stage is Stage.STARTING:
            self.stage = Stage.ABLE

    @property
    def accepts(self) -> bool:
        """Whether it may still accept connections: one that was told to go may, until it has said that it does not."""
        return self.stage is Stage.SERVING or (self.stage is Stage.LEAVING and not self.has_reported)

    @property
    def leaving_seconds(self) -> float:
        """For how long it has known that it is to go; 0 where it may stay."""
        return time.monotonic() - self._told_to_leave if self._told_to_leave else 0.0

    def begin(self) -> None:
        """Have it serve."""
        self.stage = Stage.SERVING
        with suppress(OSError):  # it has just ended, which will be noticed
            self.channel.sendall(GO)

    def retire(self) -> None:
        """Others serve: it is to finish what it was asked; where it did not begin, it ends at once."""
        self.has_reported = self.stage is not Stage.SERVING
        self._leave(signal.SIGKILL if self.has_reported else RETIRE)

    def end(self) -> None:
        """The service ends: it is to finish what it was asked; asked again, it hurries."""
        self._leave(signal.SIGTERM if self.stage in (Stage.SERVING, Stage.LEAVING) else signal.SIGKILL)

    def kill(self) -> None:
        """End it at once, whatever it would still say."""
        self.has_reported = True
        self._leave(signal.SIGKILL)

    def _leave(self, number: signal.Signals) -> None:
        self._told_to_leave = self._told_to_leave or time.monotonic()
        self.stage = Stage.LEAVING
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
