"""The control server of a workspace: `python -m bankmlops.local.control_server --workspace DIR`. Exactly one runs in a workspace.

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from logging.handlers import RotatingFileHandler
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from bankmlops.backend import Backend
from bankmlops.errors import BackendUnavailableError, BankMLOpsError, ConflictError
from bankmlops.local.control_api import create_app
from bankmlops.local.control_files import HOST, ControlFiles, ControlRecord
from bankmlops.local.control_process import find_control_server
from bankmlops.local.pipeline_engine import PipelineEngine
from bankmlops.local.pipeline_store import PipelineStore
from bankmlops.local.processes import own_identity
from bankmlops.local.workspace import LocalWorkspace

_LOG_BYTES = 1024 * 1024
_LOG_FILES = 3
_CONNECTIONS = 512
_DRAIN_SECONDS = 5

logger = logging.getLogger("bankmlops.control")


def main() -> None:
    """Serve until SIGTERM. Exit code 0 after it, 1 with one line on stderr where it could not start."""
    parser = argparse.ArgumentParser(prog="python -m bankmlops.local.control_server")
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
        engine = PipelineEngine(files.system_database, _backend_of(workspace))
        app = create_app(PipelineStore(workspace), engine, files.token())
        with _listen(files) as listener:
            engine.launch()
            _serve(uvicorn.Server(_server_config(app)), listener, files)


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
        running = find_control_server(files)
        who = f" as process {running.process.pid} at {running.url}" if running else ""
        raise ConflictError(f"a control server runs in {workspace.folder} already{who}; `bankmlops down` stops it") from None
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


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
        limit_concurrency=_CONNECTIONS,
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
