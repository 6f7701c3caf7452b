"""The emulator's process, `python -m bankmlops.emulator.server --home DIR`: HTTP, TLS and the proxy, on loopback alone."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import uvicorn
from starlette.types import ASGIApp

from bankmlops.emulator import background
from bankmlops.emulator.app import create_app
from bankmlops.emulator.files import write_private
from bankmlops.emulator.home import Home, Running
from bankmlops.emulator.instance import AZURE_HOSTS, BLOB_SUFFIX, Addresses, Emulator
from bankmlops.emulator.services.inference_server import end_with_parent
from bankmlops.emulator.storage.public_blobs import publish
from bankmlops.emulator.web.certificates import Certificates, prepare_certificates
from bankmlops.emulator.web.proxy import Proxy
from bankmlops.emulator.web.recorder import Record, Recorder
from bankmlops.emulator.web.upstream import find_upstream
from bankmlops.errors import BankMLOpsError, ConflictError

HOST = "127.0.0.1"
_CONNECTIONS = 1024
_DRAIN_SECONDS = 3
_STOPS = (signal.SIGTERM, signal.SIGINT)

logger = logging.getLogger("bankmlops.emulator")


def main() -> None:
    """Serve until SIGTERM. Exit code 0 after it, 1 with one line on stderr where it could not start."""
    arguments = _parse(sys.argv[1:])
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    home = Home(arguments.home)
    try:
        if arguments.parent:
            end_with_parent(arguments.parent)
        _run(home, arguments)
    except BankMLOpsError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(1)
    finally:
        if arguments.parent:
            shutil.rmtree(home.folder, ignore_errors=True)


def _parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bankmlops.emulator.server")
    parser.add_argument("--home", type=Path, required=True, help="the emulator's home")
    parser.add_argument("--ephemeral", action="store_true", help="keep no state")
    parser.add_argument("--time-scale", type=float, default=1.0, help="the share of an asked budget that AutoML may use")
    parser.add_argument("--port", type=int, default=0, help="the HTTP port; TLS and the proxy take the next two")
    parser.add_argument("--parent", type=int, default=0, help="end with this process, and take the home away")
    parser.add_argument("--public-blobs", type=Path, help="answer the public blobs of this folder")
    parser.add_argument("--record", type=Path, help="write what is asked and answered into this file")
    return parser.parse_args(words)


def _run(home: Home, arguments: argparse.Namespace) -> None:
    state = home.ephemeral_state if arguments.ephemeral else home.state
    with contextlib.ExitStack() as stack:
        stack.callback(home.forget)
        listeners = _listen(home, arguments.port)
        for listener in listeners:
            stack.enter_context(listener)
        emulator = Emulator(state, arguments.time_scale)
        stack.callback(emulator.close)
        if arguments.public_blobs:
            publish(emulator, arguments.public_blobs)
        else:
            emulator.remove_public_accounts()
        emulator.addresses = Addresses(*(listener.getsockname()[1] for listener in listeners))
        certificates = prepare_certificates(state / "certificates")
        record = None
        if arguments.record:
            record = Record(arguments.record, emulator.secrets.hidden())
            stack.callback(record.close)
        running = _running(emulator, arguments)
        asyncio.run(_serve(home, emulator, certificates, listeners, running, record))


async def _serve(
    home: Home,
    emulator: Emulator,
    certificates: Certificates,
    listeners: list[socket.socket],
    running: Running,
    record: Record | None,
) -> None:
    app: ASGIApp = Recorder(create_app(emulator), record) if record else create_app(emulator)
    http = _Server(_config(app, {}))
    https = _Server(_config(app, {"ssl_keyfile": str(certificates.server_key), "ssl_certfile": str(certificates.server)}))

    def is_ours(host: str) -> bool:
        emulated = is_emulated(emulator, host)
        if record:
            record.tunnel(host, emulated)
        return emulated

    proxy = Proxy(emulator.addresses.https_port, is_ours, find_upstream(os.environ))

    def stop() -> None:
        http.should_exit = https.should_exit = True

    for number in _STOPS:
        asyncio.get_running_loop().add_signal_handler(number, stop)
    async with await proxy.serve(listeners[2]):
        serving = asyncio.gather(http.serve([listeners[0]]), https.serve([listeners[1]]))
        while not (http.started and https.started) and not serving.done():
            await asyncio.sleep(0.002)
        home.write(running)
        work = await asyncio.to_thread(background.start, emulator)
        gc.freeze()  # modules and routes stay: to look through them for garbage again and again would hold requests up
        try:
            await serving
        finally:
            await asyncio.to_thread(work.stop)


def is_emulated(emulator: Emulator, host: str) -> bool:
    """Whether this emulator answers for the host: Azure's front doors, and the blobs of its own and of public accounts."""
    if host in AZURE_HOSTS:
        return True
    return host.endswith(BLOB_SUFFIX) and emulator.has_account(host.removesuffix(BLOB_SUFFIX))


class _Server(uvicorn.Server):
    """uvicorn, but who runs two of them in one process says when both stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _config(app: ASGIApp, tls: Mapping[str, str]) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        **tls,  # type: ignore[arg-type]
    )


def _listen(home: Home, port: int) -> list[socket.socket]:
    """Sockets for HTTP, TLS and the proxy: on the ports asked for, or those of last time where they are free, or free ones."""
    if port:
        return _bind([port, port + 1, port + 2])
    try:
        listeners = _bind(_last_ports(home))
    except ConflictError:
        listeners = _bind([0, 0, 0])
    ports = [listener.getsockname()[1] for listener in listeners]
    write_private(home.ports, json.dumps(ports).encode())
    return listeners


def _last_ports(home: Home) -> list[int]:
    try:
        ports = json.loads(home.ports.read_text("utf-8"))
        return [int(port) for port in ports] if len(ports) == 3 else [0, 0, 0]
    except (OSError, ValueError, TypeError):
        return [0, 0, 0]


def _bind(ports: list[int]) -> list[socket.socket]:
    listeners: list[socket.socket] = []
    try:
        for port in ports:
            listeners.append(socket.create_server((HOST, port), backlog=512))
            # Inherited by every connection; without it each answer waits 40 ms for the client's delayed acknowledgement.
            listeners[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except (OSError, OverflowError) as error:
        for listener in listeners:
            listener.close()
        raise ConflictError(f"port {port} can't be used: {error}; choose another with --port") from error
    return listeners


def _running(emulator: Emulator, arguments: argparse.Namespace) -> Running:
    return Running(
        pid=os.getpid(),
        created=psutil.Process().create_time(),
        addresses=emulator.addresses,
        state=emulator.folder,
        ephemeral=arguments.ephemeral,
        time_scale=emulator.time_scale,
        public_blobs=arguments.public_blobs,
    )


if __name__ == "__main__":
    main()
