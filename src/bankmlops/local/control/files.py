"""Where the control server of a workspace leaves what others need to find it: its record, its token, its port and its logs."""

from __future__ import annotations

import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from bankmlops.errors import BackendUnavailableError
from bankmlops.local.disk import disk_errors, write_private_file, write_private_json
from bankmlops.local.processes import ProcessIdentity
from bankmlops.local.workspace import LocalWorkspace

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class ControlRecord:
    """A control server that serves, or served: its process, and its base URL without a slash at the end."""

    process: ProcessIdentity
    url: str


class ControlFiles:
    """The private folder `pipelines/control` of a workspace."""

    def __init__(self, workspace: LocalWorkspace) -> None:
        self._workspace = workspace

    @property
    def folder(self) -> Path:
        """Made (0700) where it is missing."""
        return self._workspace.folder_of("pipelines", "control")

    @property
    def log(self) -> Path:
        """What the server logs; it rotates."""
        return self.folder / "control.log"

    @property
    def output(self) -> Path:
        """What the server's process wrote past its log since it was last started: why it could not start is here."""
        return self.folder / "control.out"

    @property
    def system_database(self) -> Path:
        """The SQLite file that holds the state of every pipeline run."""
        return self.folder / "dbos.sqlite"

    def token(self) -> str:
        """The bearer token of this workspace, made at the first call (0600)."""
        path = self.folder / "token"
        with disk_errors(path):
            if not path.exists():
                with self._workspace.lock("control-token"):
                    if not path.exists():
                        write_private_file(path, secrets.token_urlsafe(32).encode())
            return path.read_text().strip()

    def port(self) -> int:
        """The port that published endpoints name, kept so that their URLs outlive a restart; a free one at the first call."""
        path = self.folder / "port"
        with disk_errors(path), self._workspace.lock("control-port"):
            if path.exists() and (port := path.read_text().strip()).isdecimal():
                return int(port)
            with socket.create_server((HOST, 0)) as probe:
                port_number = int(probe.getsockname()[1])
            write_private_file(path, str(port_number).encode())
            return port_number

    def keep_port(self, port: int) -> None:
        """Make it the one that endpoints name."""
        with self._workspace.lock("control-port"):
            write_private_file(self.folder / "port", str(port).encode())

    def write_record(self, record: ControlRecord) -> None:
        """Tell others that this server serves."""
        write_private_json(self._record_path, asdict(record))

    def read_record(self) -> ControlRecord | None:
        """The server that said last that it serves; None where none did, or where it took leave."""
        with disk_errors(self._record_path):
            try:
                document = json.loads(self._record_path.read_text())
            except FileNotFoundError:
                return None
            except ValueError:
                raise BackendUnavailableError(f"{self._record_path} is damaged; delete it and try again") from None
        return ControlRecord(ProcessIdentity(**document["process"]), document["url"])

    def write_holder(self, process: ProcessIdentity) -> None:
        """Tell others which process holds the workspace's server lock, from before it serves."""
        write_private_json(self._holder_path, asdict(process))

    def read_holder(self) -> ProcessIdentity | None:
        """The process that took the lock last; None where that can't be told."""
        try:
            return ProcessIdentity(**json.loads(self._holder_path.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def remove_record(self) -> None:
        """Take leave."""
        self._record_path.unlink(missing_ok=True)

    def clear_output(self) -> None:
        """Forget what an earlier process wrote, so that the file stays small."""
        with disk_errors(self.output):
            os.close(os.open(self.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))

    @property
    def _holder_path(self) -> Path:
        return self.folder / "holder.json"

    @property
    def _record_path(self) -> Path:
        return self.folder / "control.json"
