"""Turns what a disk can do wrong into one line for its owner, in one place for every room that writes to the workspace."""

from __future__ import annotations

import errno
import json
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bankmlops.errors import BackendUnavailableError, InvalidRequestError

_ADVICE = {
    errno.ENOSPC: "free some space, or choose another folder with --workspace",
    errno.EDQUOT: "free some space, or choose another folder with --workspace",
    errno.EFBIG: "raise the limit on file sizes, or choose another folder with --workspace",
    errno.EROFS: "choose a writable folder with --workspace",
    errno.EACCES: "choose a writable folder with --workspace",
    errno.EPERM: "choose a writable folder with --workspace",
}


def disk_error(error: OSError, path: Path) -> BackendUnavailableError:
    """The line for a read or a write of `path` that the disk refused."""
    advice = _ADVICE.get(error.errno or 0, "see that the disk works, or choose another folder with --workspace")
    return BackendUnavailableError(f"can't use {error.filename or path}: {error.strerror or error}; {advice}")


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Raise `BackendUnavailableError` for an `OSError` or SQLite error inside, and `InvalidRequestError` for a foreign file."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, path) from error
    except sqlite3.OperationalError as error:
        raise BackendUnavailableError(f"can't use {path}: {error}; {_sqlite_advice(str(error))}") from error
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise
        raise InvalidRequestError(f"{path} is damaged ({error}); choose another folder with --workspace") from error


def _sqlite_advice(message: str) -> str:
    if "locked" in message:
        return "another process holds it; try again"
    if "full" in message:
        return _ADVICE[errno.ENOSPC]
    if "disk I/O" in message:
        return "see that the disk has space and works, or choose another folder with --workspace"
    return _ADVICE[errno.EROFS]


def make_private_folder(folder: Path) -> None:
    """Make the folder and its parents; the folder itself is for its owner alone (0700). One that exists keeps its mode."""
    with disk_errors(folder):
        if folder.exists() and not folder.is_dir():
            raise InvalidRequestError(f"{folder} is a file; choose a folder with --workspace")
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)


def write_private_json(path: Path, value: object) -> None:
    """Replace `path` atomically by `value` as JSON that its owner alone can read (0600)."""
    write_private_file(path, json.dumps(value, indent=2).encode())


def write_private_file(path: Path, content: bytes) -> None:
    """Replace `path` atomically; its owner alone can read it (0600), and a reader sees the old or the new content whole."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with disk_errors(path):
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
