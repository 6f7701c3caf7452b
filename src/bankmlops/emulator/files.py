"""Files that their owner alone can read, and that are whole or not there."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from bankmlops.errors import BackendUnavailableError


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` atomically (0600). Raises `BackendUnavailableError` where the disk refuses."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise disk_error(error, path) from error


def make_private_folder(folder: Path) -> Path:
    """Make the folder (0700) and those above it. Raises `BackendUnavailableError` where the disk refuses."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise disk_error(error, folder) from error
    return folder


def disk_error(error: OSError, path: Path) -> BackendUnavailableError:
    """The line for what the disk refused."""
    return BackendUnavailableError(
        f"can't use {error.filename or path}: {error.strerror or error}; choose a writable folder with --state"
    )
