"""The evidence of a flow as a file: there whole or not at all, and known to be writable before the flow begins."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bankmlops.cli.output import plain
from bankmlops.errors import BackendUnavailableError

Write = Callable[[Mapping[str, Any]], None]


@contextmanager
def evidence_file(path: Path | None) -> Iterator[Write]:
    """Yields what replaces `path` by a document; without a path it does nothing. Raises `BackendUnavailableError`."""
    if path is None:
        yield lambda _: None
        return
    partial = _partial_beside(path)
    try:
        yield lambda document: _replace(path, partial, document)
    finally:
        partial.unlink(missing_ok=True)


def _partial_beside(path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise BackendUnavailableError(
            f"--evidence {path}: can't be written ({error.strerror}); choose a writable folder"
        ) from error
    os.close(handle)
    return Path(name)


def _replace(path: Path, partial: Path, document: Mapping[str, Any]) -> None:
    try:
        partial.write_text(json.dumps(plain(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
        partial.chmod(0o644)  # evidence is to be read by others, and holds no key
        partial.replace(path)
    except OSError as error:
        raise BackendUnavailableError(f"--evidence {path}: can't be written ({error.strerror}); free some space") from error
