"""`ready.json`: who serves, where, which model, and why another one is not served although it was asked for."""

from __future__ import annotations

import json
import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from bankmlops.scoring.service import Service

_LOG = logging.getLogger("bankmlops.scoring")


class ReadyFile:
    """The file, for its owner alone (0600). Where it can't be written, that is said once: a container's root may be read-only."""

    def __init__(self, path: Path, port: int) -> None:
        self._path = path
        self._port = port
        self._started = time.time()
        self._has_warned = False

    def write(self, serving: Service, refused: Service | None = None, reason: str = "") -> None:
        """Whole or not at all: whoever waits for the file may read it as soon as it is there."""
        document = {
            "pid": os.getpid(),
            "port": self._port,
            "started": self._started,
            "model_name": serving.model_name,
            "model_version": serving.model_version,
            "model_folder": serving.model_folder,
            "refused": {"model_folder": refused.model_folder, "reason": reason} if refused else None,
        }
        try:
            self._replace(json.dumps(document))
        except OSError as error:
            if not self._has_warned:
                _LOG.warning("%s can't be written: %s", self._path, error.strerror)
            self._has_warned = True

    def remove(self) -> None:
        """Nobody serves any more."""
        with suppress(OSError):
            self._path.unlink()

    def _replace(self, text: str) -> None:
        partial = self._path.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        partial.replace(self._path)
