"""An emulator's home: the folder by which `start`, `stop`, `status`, `env` and `run` find the same emulator."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from bankmlops.emulator.files import make_private_folder, write_private
from bankmlops.emulator.instance import Addresses
from bankmlops.errors import BackendUnavailableError

VARIABLE = "BANKMLOPS_EMULATOR"
_LOCK_SECONDS = 60.0
_LOCK_POLL_SECONDS = 0.02
_SAME_START_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Running:
    """An emulator that serves, or served: its process (id, and start in seconds since the epoch), ports, state and options."""

    pid: int
    created: float
    addresses: Addresses
    state: Path
    ephemeral: bool
    time_scale: float
    public_blobs: Path | None = None

    @property
    def is_alive(self) -> bool:
        """Whether that very process still runs; a stranger may have got its number."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < _SAME_START_SECONDS
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


@dataclass(frozen=True, slots=True)
class Home:
    """The folder, private to its owner; `state` lasts, `ephemeral_state` ends with its emulator."""

    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def ephemeral_state(self) -> Path:
        return self.folder / "ephemeral"

    @property
    def log(self) -> Path:
        return self.folder / "emulator.log"

    @property
    def ports(self) -> Path:
        return self.folder / "ports.json"

    @property
    def _record(self) -> Path:
        return self.folder / "running.json"

    def make(self) -> None:
        """Raises `BackendUnavailableError` where the disk refuses."""
        make_private_folder(self.folder)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One command at a time starts or stops."""
        descriptor = os.open(self.folder / "start.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._acquire(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _acquire(self, descriptor: int) -> None:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    message = f"another command starts or stops the emulator in {self.folder}; try again"
                    raise BackendUnavailableError(message) from None
                time.sleep(_LOCK_POLL_SECONDS)

    def find(self) -> Running | None:
        """The emulator that runs here, if any."""
        running = self.read()
        return running if running is not None and running.is_alive else None

    def read(self) -> Running | None:
        """What was last written down, of a process that may have gone since."""
        try:
            document = json.loads(self._record.read_text("utf-8"))
            addresses = Addresses(**document.pop("addresses"))
            state, public = Path(document.pop("state")), document.pop("public_blobs", None)
            return Running(addresses=addresses, state=state, public_blobs=Path(public) if public else None, **document)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, running: Running) -> None:
        """Tell others where the emulator is."""
        public = str(running.public_blobs) if running.public_blobs else None
        document = {**asdict(running), "state": str(running.state), "public_blobs": public}
        write_private(self._record, json.dumps(document).encode())

    def forget(self) -> None:
        """Nothing runs here any more; what an ephemeral emulator left is gone."""
        self._record.unlink(missing_ok=True)
        shutil.rmtree(self.ephemeral_state, ignore_errors=True)


def default_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the user's own emulator has its home: under XDG_STATE_HOME, or ~/.local/state."""
    above = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME") or "~").expanduser() / ".local" / "state")
    return Path(above) / "bankmlops" / "emulator"
