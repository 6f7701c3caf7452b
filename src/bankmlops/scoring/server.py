"""The HTTP server of one worker: it answers, lets others have its place in an orderly way, and comes to an orderly end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from types import FrameType

import uvicorn

from bankmlops.scoring.acceptor import Acceptor
from bankmlops.scoring.app import ScoringApp
from bankmlops.scoring.limits import Limits
from bankmlops.scoring.listening import BACKLOG
from bankmlops.scoring.protocol import BoundedProtocol

RETIRE = signal.SIGUSR1
_SWEEP_TICKS = 5


class ScoringServer(uvicorn.Server):
    """A uvicorn server with two ways to go, both without a failed request.

    SIGTERM drains: it says that it is not ready, lingers, and lets accepted requests finish. `RETIRE` leaves the place to others
    who listen on the same socket: it accepts nobody any more, stays ready, and ends each connection with its next answer, or once
    that was idle for as long as any connection may be. `on_retired` is called when nobody else is accepted, `each_tick` ten times
    a second.
    """

    def __init__(
        self,
        app: ScoringApp,
        limits: Limits,
        listener: socket.socket,
        parent: int,
        each_tick: Callable[[], None],
        on_retired: Callable[[], None],
        pile: int,
    ) -> None:
        super().__init__(_config(app, limits))
        self._scoring_app = app
        self._listener = listener
        self._limits = limits
        self._parent = parent
        self._each_tick = each_tick
        self._on_retired = on_retired
        self._pile = pile
        self._loop: asyncio.AbstractEventLoop | None = None
        self._acceptor: Acceptor | None = None
        self._exit_at = float("inf")
        self._is_retired = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002  # uvicorn names it
        """Accept connections: uvicorn itself has no socket to listen on."""
        await super().startup([])
        self._loop = asyncio.get_running_loop()
        make_protocol: partial[asyncio.Protocol] = partial(
            self.config.http_protocol_class,  # type: ignore[call-arg]  # uvicorn calls it with these
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        self._acceptor = Acceptor(self._listener, make_protocol, self._pile)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nobody any more, and let those finish who are here."""
        if self._acceptor is not None:
            self._acceptor.close()
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: is it time to go, and who takes too long?"""
        self._each_tick()
        if os.getppid() != self._parent and not self._scoring_app.draining:
            self._drain()
        if self._scoring_app.retiring:
            self._stop_accepting()
            self.should_exit = self.should_exit or not self.server_state.connections
        if time.monotonic() >= self._exit_at:
            self.should_exit = True
        if counter % _SWEEP_TICKS == 0:
            self._cut_overdue()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  # uvicorn names them
        """The first SIGTERM begins the drain, the second ends it; Ctrl-C is for the supervisor to understand."""
        if sig == signal.SIGINT:
            return
        if self._scoring_app.draining:
            self.should_exit = True
        else:
            self._drain()

    def handle_retirement(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  # signal.signal gives them
        """Others serve from now on."""
        if not self._scoring_app.draining:
            self._scoring_app.retiring = True
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._stop_accepting)
            self._exit_at = time.monotonic() + self._limits.keep_alive_seconds + self._limits.request_seconds

    def _drain(self) -> None:
        self._scoring_app.draining = True
        self._exit_at = time.monotonic() + self._limits.linger_seconds

    def _stop_accepting(self) -> None:
        if self._acceptor is not None and not self._is_retired:
            self._is_retired = True
            self._acceptor.close()
            self._on_retired()

    def _cut_overdue(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in tuple(self.server_state.connections):
            if isinstance(connection, BoundedProtocol):
                connection.cut_if_overdue(now)


def _config(app: ScoringApp, limits: Limits) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=partial(BoundedProtocol, limits, app),  # type: ignore[arg-type]  # a class is all that it is called as
        loop="uvloop",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="error",  # a warning tells of a broken request, and who sends those must not fill the log
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=max(1, round(limits.keep_alive_seconds)),
        timeout_graceful_shutdown=max(1, round(limits.drain_seconds)),
    )
