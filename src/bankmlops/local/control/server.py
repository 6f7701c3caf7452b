"""The control server of a workspace: `python -m bankmlops.local.control.server --workspace DIR`. Exactly one runs in a workspace.

It holds the pipeline engine, and serves published pipelines over REST on the loopback interface. It is built to be killed: what
it accepted is in its database, so it stops without waiting for its runs, and takes them up when it starts again.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from bankmlops.backend import Backend
from bankmlops.errors import BackendUnavailableError, BankMLOpsError, ConflictError
from bankmlops.local.control.connections import MAXIMUM_HEAD_BYTES, BoundedConnection
from bankmlops.local.control.files import HOST, ControlFiles, ControlRecord
from bankmlops.local.control.page_api import PageSources, page_router
from bankmlops.local.control.page_files import page_files_router
from bankmlops.local.control.process import find_control_server
from bankmlops.local.control.room import ControlRoom
from bankmlops.local.feedback.api import feedback_router
from bankmlops.local.feedback.keeping import Keeper
from bankmlops.local.pipelines.database import take_pipeline_database
from bankmlops.local.pipelines.engine import PipelineEngine
from bankmlops.local.processes import own_identity
from bankmlops.local.workspace import LocalWorkspace

_LOG_BYTES = 1024 * 1024
_LOG_FILES = 3
_DRAIN_SECONDS = 5

logger = logging.getLogger("bankmlops.control")


def main() -> None:
    """Serve until SIGTERM. Exit code 0 after it, 1 with one line on stderr where it could not start."""
    parser = argparse.ArgumentParser(prog="python -m bankmlops.local.control.server")
    parser.add_argument("--workspace", type=Path, required=True, help="the workspace's folder")
    workspace = LocalWorkspace(parser.parse_args().workspace)
    try:
        _run(workspace)
    except BankMLOpsError as error:
        print(error, file=sys.stderr)  # noqa: T201
        _leave(1)
    _leave(0)


def _run(workspace: LocalWorkspace) -> None:
    files = ControlFiles(workspace)
    with _alone(workspace, files):
        _log_to(files.log)
        engine = PipelineEngine(take_pipeline_database(files.system_database), _backend_of(workspace), workspace)
        room = ControlRoom(workspace, engine)
        room.app.include_router(page_files_router())
        room.app.include_router(page_router(PageSources(workspace, _backend_of(workspace), engine)))
        room.app.include_router(feedback_router(_backend_of(workspace)))
        with _listen(files) as listener:
            engine.launch()
            for name, run in (("schedules", room.scheduler.run), ("feedback", Keeper(workspace).run)):
                threading.Thread(target=run, args=(room.leaving,), name=name, daemon=True).start()
            _serve(_Server(_server_config(room.app), room.leaving), listener, files)


class _Server(uvicorn.Server):
    """Tells its guard that it is about to stop, before it stops to listen."""

    def __init__(self, config: uvicorn.Config, leaving: threading.Event) -> None:
        super().__init__(config)
        self._leaving = leaving

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal to end."""
        self._leaving.set()
        super().handle_exit(sig, frame)


def _serve(server: uvicorn.Server, listener: socket.socket, files: ControlFiles) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises the signal again when it has drained; by then it was obeyed
        signal.signal(number, lambda *_: None)
    record = ControlRecord(own_identity(), f"http://{HOST}:{listener.getsockname()[1]}")
    files.write_record(record)
    logger.info("process %d serves %s", record.process.pid, record.url)
    try:
        server.run(sockets=[listener])
    finally:
        files.remove_record()
    logger.info("stopped; unfinished runs go on at the next start")


@contextmanager
def _alone(workspace: LocalWorkspace, files: ControlFiles) -> Iterator[None]:
    """Hold the workspace's server lock; raises `ConflictError` that says who holds it."""
    lock = workspace.lock("control-server", timeout_seconds=0)
    try:
        lock.__enter__()
    except BackendUnavailableError:
        who = _who_holds(files)
        raise ConflictError(f"a control server runs in {workspace.folder} already{who}; `bankmlops down` stops it") from None
    try:
        files.write_holder(own_identity())
        yield
    finally:
        lock.__exit__(None, None, None)


def _who_holds(files: ControlFiles) -> str:
    """Such as " as process 7 at http://127.0.0.1:8000"; one that starts has no address yet."""
    running, holder = find_control_server(files), files.read_holder()
    if running is not None:
        return f" as process {running.process.pid} at {running.url}"
    return f" as process {holder.pid}, which starts or stops just now" if holder else ""


def _backend_of(workspace: LocalWorkspace) -> Callable[[], Backend]:
    @cache
    def backend() -> Backend:
        from bankmlops.local.backend import LocalBackend  # MLflow comes with it: seconds that the first run pays, not the start

        return LocalBackend(workspace.folder)

    return backend


def _listen(files: ControlFiles) -> socket.socket:
    """Bind the port that published endpoints name, or, where a stranger has it, a free one that they name from now on."""
    try:
        return socket.create_server((HOST, files.port()))
    except OSError:
        listener = socket.create_server((HOST, 0))
        files.keep_port(listener.getsockname()[1])
        return listener


def _server_config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        http=BoundedConnection,
        h11_max_incomplete_event_size=MAXIMUM_HEAD_BYTES,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )


def _log_to(path: Path) -> None:
    handler = RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _leave(code: int) -> None:
    """End at once: a thread that waits for a training run must not hold the process, and the run is durable."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
