"""Starts an emulator as a process of its own, and takes it down with all that it started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from bankmlops.emulator.files import disk_error
from bankmlops.emulator.home import Home, Running
from bankmlops.errors import BackendUnavailableError, ConflictError

MODULE = "bankmlops.emulator.server"
# Every process under an emulator's inherits it, so that what an emulator started is found even where it was killed.
FAMILY = "BANKMLOPS_EMULATOR_FAMILY"
TIME_SCALE = 0.05  # of an asked AutoML budget: 20 minutes take one
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.01
_MAX_ROUNDS = 20
_MAX_LOG_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Options:
    """How an emulator is started; `port` 0 takes those of last time or free ones, `parent` 0 lets it outlive this command.

    What it is asked and answers is written into `record`, where one is given; files of `public_blobs` are public blobs.
    """

    ephemeral: bool = False
    time_scale: float = TIME_SCALE
    port: int = 0
    parent: int = 0
    record: Path | None = None
    public_blobs: Path | None = None

    def words(self) -> list[str]:
        """As arguments of the server."""
        words = ["--time-scale", str(self.time_scale), "--port", str(self.port), "--parent", str(self.parent)]
        record = ["--record", str(self.record)] if self.record else []
        public = ["--public-blobs", str(self.public_blobs)] if self.public_blobs else []
        return [*words, *record, *public, *(["--ephemeral"] if self.ephemeral else [])]


def start(home: Home, options: Options) -> Running:
    """Start it and wait until it serves; one that runs already is answered.

    Raises `ConflictError` where one runs that differs, `BackendUnavailableError` with its last line where it did not start.
    """
    home.make()
    with home.lock():
        running = home.find()
        if running is not None:
            return _fitting(running, options)
        left = home.read()
        if left is None or left.ephemeral:
            _kill_family(home)  # but what trains for a lasting state goes on, and the new emulator takes it up
        home.forget()
        return _wait(home, _spawn(home, options))


def stop(home: Home) -> bool:
    """End it and all that it started (idempotent); False where none ran."""
    if not home.folder.is_dir():
        return False
    with home.lock():
        running = home.find()
        if running is not None:
            _end(running.pid)
        _kill_family(home)
        home.forget()
        return running is not None


@contextmanager
def own(home: Home, options: Options) -> Iterator[Running]:
    """An ephemeral emulator for the time of the block; it ends with this process, however that ends."""
    home.make()
    server = None
    try:
        server = _spawn(home, replace(options, ephemeral=True, parent=os.getpid()))
        yield _wait(home, server)
    finally:
        if server is not None:
            _end(server.pid)
            server.wait(_STOP_SECONDS)
        _kill_family(home)


def _fitting(running: Running, options: Options) -> Running:
    differs = running.ephemeral != options.ephemeral or running.time_scale != options.time_scale
    other_blobs = options.public_blobs not in (None, running.public_blobs)
    if differs or other_blobs or options.port not in (0, running.addresses.http_port):
        raise ConflictError(f"an emulator with other options runs as process {running.pid}; `bankmlops emulator stop` ends it")
    return running


def _spawn(home: Home, options: Options) -> subprocess.Popen[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        too_long = home.log.exists() and home.log.stat().st_size > _MAX_LOG_BYTES
        descriptor = os.open(home.log, flags | (os.O_TRUNC if too_long else 0), 0o600)
    except OSError as error:
        raise disk_error(error, home.log) from error
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", MODULE, "--home", str(home.folder), *options.words()],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            cwd=home.folder,
            env={**os.environ, FAMILY: str(home.folder)},
            start_new_session=True,
        )
    finally:
        os.close(descriptor)


def _wait(home: Home, server: subprocess.Popen[bytes]) -> Running:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        running = home.read()
        if running is not None and running.pid == server.pid:
            return running
        if server.poll() is not None:
            raise BackendUnavailableError(f"the emulator did not start: {_last_line(home.log)}")
        time.sleep(_POLL_SECONDS)
    _end(server.pid)
    raise BackendUnavailableError(f"the emulator did not answer within {_START_SECONDS:.0f} s; see {home.log}")


def _last_line(log: Path) -> str:
    with suppress(OSError):
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip() if lines else f"see {log}"
    return f"see {log}"


def _end(pid: int) -> None:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.terminate()
        _, alive = psutil.wait_procs([process], timeout=_STOP_SECONDS)
        for survivor in alive:
            survivor.kill()
        psutil.wait_procs(alive, timeout=_STOP_SECONDS)


def _kill_family(home: Home) -> None:
    for _ in range(_MAX_ROUNDS):  # a member may start another while it is being ended
        members = [process for process in psutil.process_iter() if _bears(process, FAMILY, str(home.folder))]
        if not members:
            return
        for process in members:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(members, timeout=5)


def _bears(process: psutil.Process, name: str, value: str) -> bool:
    if process.pid == os.getpid():
        return False
    try:
        return process.environ().get(name) == value and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False  # it is gone, or somebody else's
