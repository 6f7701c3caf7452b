"""Keeps the SDK off stdout, where our results go: its prints and warnings become debug lines of our log."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

log = logging.getLogger(__name__)
LOUD = ("azureml", "azureml.core", "azureml.data", "azureml.train", "azure", "msrest", "msal", "urllib3", "adal-python", "cli")


class _Redirection:
    """One stand-in for sys.stdout however many threads ask for it: the first puts it there, the last takes it away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._stdout: TextIO | None = None

    def enter(self) -> None:
        with self._lock:
            if self._depth == 0:
                self._stdout, sys.stdout = sys.stdout, _Lines()
            self._depth += 1

    def leave(self) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0 and self._stdout is not None:
                sys.stdout, self._stdout = self._stdout, None


class _Lines(io.TextIOBase):
    """A text stream whose lines go to the log."""

    def write(self, text: str) -> int:
        for line in text.splitlines():
            if line.strip():
                log.debug("%s", line)
        return len(text)

    def writable(self) -> bool:
        return True


_redirection = _Redirection()


@contextmanager
def quiet() -> Iterator[None]:
    """Within it, what the SDK prints goes to the log."""
    _redirection.enter()
    try:
        yield
    finally:
        _redirection.leave()


def hush() -> None:
    """Before the SDK is imported and after: no deprecation notices, and no log of errors that it raises as well."""
    os.environ.setdefault("AZUREML_LOG_DEPRECATION_WARNING_ENABLED", "False")
    for module in (r"azureml\b", r"msrest\b", r"pkg_resources\b"):
        warnings.filterwarnings("ignore", module=module)
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.CRITICAL)
