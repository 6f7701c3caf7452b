"""The folder that holds everything of the local backend: state in SQLite, artifacts in folders, locks between processes."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bankmlops.errors import BackendUnavailableError, InvalidRequestError
from bankmlops.local.disk import disk_errors, make_private_folder
from bankmlops.local.schema import SCRIPTS
from bankmlops.local.shared import is_shared, mlflow_server

_BUSY_SECONDS = 30.0
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class LocalWorkspace:
    """One workspace folder; any number of processes may hold it at once. Nothing is touched until it is first used."""

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder).expanduser().absolute()
        self._prepared = False

    def __repr__(self) -> str:
        return f"LocalWorkspace({str(self._folder)!r})"

    @property
    def folder(self) -> Path:
        """The absolute path of the workspace."""
        return self._folder

    @property
    def mlflow_uri(self) -> str:
        """The tracking and registry store of this workspace, as MLflow wants it: a server where one is named, or else its own."""
        return mlflow_server() or f"sqlite:///{self._folder / 'mlflow' / 'mlflow.db'}"

    @property
    def mlflow_artifacts(self) -> Path:
        """The absolute root of MLflow's artifacts."""
        return self._folder / "mlflow" / "artifacts"

    def prepare(self) -> None:
        """Make the folder (0700) and its database (idempotent).

        Raises `BackendUnavailableError` where the disk refuses, `InvalidRequestError` where the path is a file, not a workspace,
        or one that a newer bankmlops made.
        """
        if self._prepared:
            return
        for folder in (self._folder, self._folder / "locks", self._folder / "mlflow"):
            make_private_folder(folder)
        with self._lock("schema"), disk_errors(self._database_path), closing(self._connect()) as connection:
            self._database_path.chmod(0o600)
            _upgrade(connection, self._folder)
        self._prepared = True

    @contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        """A connection whose writes are committed at the end of the block, or undone where it raises.

        Rows answer to column names. A block that reads and then writes by what it read holds a `lock` around itself.
        """
        self.prepare()
        with disk_errors(self._database_path), closing(self._connect()) as connection, connection:
            yield connection

    @contextmanager
    def lock(self, name: str, *, timeout_seconds: float = 60.0) -> Iterator[None]:
        """Hold the lock of this name against every process and thread; raises `BackendUnavailableError` on timeout."""
        self.prepare()
        with self._lock(name, timeout_seconds):
            yield

    def folder_of(self, kind: str, name: str) -> Path:
        """The private folder (0700) of one thing, such as `folder_of("endpoints", "bankmarketing")`; made where it is missing."""
        self.prepare()
        folder = self.path_of(kind, name)
        make_private_folder(folder.parent)
        make_private_folder(folder)
        return folder

    def path_of(self, kind: str, name: str) -> Path:
        """Where `folder_of` would put it, whether it is there or not."""
        return self._folder / kind / _file_name(name)

    @property
    def _database_path(self) -> Path:
        return self._folder / "state.db"

    @contextmanager
    def _lock(self, name: str, timeout_seconds: float = 60.0) -> Iterator[None]:
        path = self._folder / "locks" / f"{_file_name(name)}.lock"
        lock = FileLock(path, timeout=timeout_seconds, mode=0o600)
        try:
            with disk_errors(path):
                lock.acquire()
        except Timeout:
            raise BackendUnavailableError(
                f"another process has held {path} for {timeout_seconds:.0f} s; wait for it to end, and try again"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._database_path, timeout=_BUSY_SECONDS)
        connection.row_factory = sqlite3.Row
        connection.execute(f"PRAGMA journal_mode={'DELETE' if is_shared() else 'WAL'}")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")
        return connection


def _upgrade(connection: sqlite3.Connection, folder: Path) -> None:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(SCRIPTS):
        raise InvalidRequestError(
            f"workspace {folder} was made by a newer bankmlops (schema {version}, this one knows {len(SCRIPTS)}); "
            "upgrade bankmlops, or choose another folder with --workspace"
        )
    for number, script in enumerate(SCRIPTS[version:], start=version + 1):
        connection.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")


def _file_name(name: str) -> str:
    """A name that is safe as one path component; an unsafe one is replaced by its hash."""
    return name if _SAFE_NAME.fullmatch(name) else "x" + hashlib.sha256(name.encode()).hexdigest()[:32]
