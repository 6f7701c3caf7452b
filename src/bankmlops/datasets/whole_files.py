"""Put a file in its place whole or not at all: write a hidden sibling, then rename it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOTDIR
from pathlib import Path
from uuid import uuid4

from bankmlops.errors import BackendUnavailableError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A partial file beside `path` (its folder is made) that takes `path`'s place at the end, and is gone after any error."""
    make_folder(path.parent)
    partial = path.with_name(f".{uuid4().hex}.part")
    try:
        partial.touch(exist_ok=False)
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Make it, with this mode, and those above it, where they are not there; raises `OSError`."""
    try:
        folder.mkdir(mode, parents=True, exist_ok=True)
    except FileExistsError as error:  # "file exists" would read as if the new file were in the way
        raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), str(folder)) from error


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Say in one line that the disk refused `path`: raises `BackendUnavailableError`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise BackendUnavailableError(f"{path}: can't be written ({reason}); free space or choose a writable folder") from error
