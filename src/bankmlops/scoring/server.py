"""The process around the application: socket, `ready.json`, signals, and an orderly end."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType

import uvicorn

from bankmlops.errors import ConflictError
from bankmlops.scoring.app import ScoringApp
from bankmlops.scoring.bundle import load_bundle
from bankmlops.scoring.limits import Limits
from bankmlops.scoring.model import Scorer
from bankmlops.scoring.protocol import BoundedProtocol
from bankmlops.scoring.service import ServiceFile
from bankmlops.scoring.telemetry import RequestLog

_LOG = logging.getLogger("bankmlops.scoring")
_SWEEP_TICKS = 5


class ScoringServer(uvicorn.Server):
    """A uvicorn server that drains: after SIGTERM it says that it is not ready, lingers, and lets accepted requests finish."""

    def __init__(self, app: ScoringApp, limits: Limits, ready_file: Path, listener: socket.socket) -> None:
        super().__init__(_config(app, limits))
        self._scoring_app = app
        self._limits = limits
        self._ready_file = ready_file
        self._listener = listener
        self._exit_at = float("inf")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then tell that we do."""
        await super().startup(sockets)
        try:
            _write_ready(self._ready_file, self._listener)
        except OSError as error:  # a container's root may be read-only: who starts it there asks /health/ready
            _LOG.warning("%s can't be written: %s", self._ready_file, error.strerror)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: is it time to go, and who takes too long?"""
        if time.monotonic() >= self._exit_at:
            self.should_exit = True
        if counter % _SWEEP_TICKS == 0:
            now = asyncio.get_running_loop().time()
            for connection in tuple(self.server_state.connections):
                if isinstance(connection, BoundedProtocol):
                    connection.cut_if_overdue(now)
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  # uvicorn names them
        """The first signal begins the drain, the second ends it."""
        if self._scoring_app.draining:
            self.should_exit = True
            return
        self._scoring_app.draining = True
        self._exit_at = time.monotonic() + self._limits.linger_seconds


def serve(service_dir: Path, host: str, port: int) -> None:
    """Serve `service_dir` until SIGTERM or Ctrl-C. Raises `InvalidRequestError` or `ConflictError` with one line."""
    service_file = ServiceFile(service_dir / "service.json")
    limits = service_file.current().limits
    scorer = Scorer(load_bundle(service_dir / "model"), limits.rows)
    listener = _listen(host, port)
    ready_file = service_dir / "ready.json"
    app = ScoringApp(scorer, service_file, RequestLog(service_dir / "telemetry.jsonl"))
    server = ScoringServer(app, limits, ready_file, listener)
    service = service_file.current()
    _LOG.info("%s serves model %s (%s) on port %d", service.name, service.model, scorer.bundle.algorithm, _port(listener))
    try:
        server.run(sockets=[listener])
    finally:
        app.close()
        with suppress(OSError):
            ready_file.unlink()
    _LOG.info("stopped")


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
        backlog=2048,
        timeout_keep_alive=max(1, round(limits.keep_alive_seconds)),
        timeout_graceful_shutdown=max(1, round(limits.drain_seconds)),
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConflictError(f"port {port} of {host} can't be listened on: {reason}; another port, or 0, would serve") from error
    return listener


def _port(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def _write_ready(path: Path, listener: socket.socket) -> None:
    """Whole or not at all: whoever waits for the file may read it as soon as it is there."""
    document = {"pid": os.getpid(), "port": _port(listener), "started": time.time()}
    partial_file = path.with_suffix(".partial")
    partial_file.unlink(missing_ok=True)
    descriptor = os.open(partial_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(document, file)
    partial_file.replace(path)
