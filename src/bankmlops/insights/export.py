"""Hands on what an endpoint recorded, in order and each request at least once, and keeps how far it came.

It reads the files that the service writes, so that nothing of it is in the way of a request; while the receiver is away they are
the buffer, bounded as they are. Spans have the same ids however often they are sent, so a receiver can tell what it has.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from bankmlops.backend import Backend
from bankmlops.errors import BackendUnavailableError
from bankmlops.insights.destination import Destination
from bankmlops.insights.recorded import Mark, is_lost, read_after
from bankmlops.insights.sending import Sender

MAXIMUM_TOGETHER = 500
_MAXIMUM_STATE = 4096


@dataclass(frozen=True, slots=True)
class Exported:
    """How many requests were handed on, how many of them were refused for good, and whether some were gone before."""

    sent: int = 0
    refused: int = 0
    reason: str = ""
    gap: bool = False


class Exporter:
    """Of one endpoint to one destination. `folder` keeps how far it came, in a file of its owner's."""

    def __init__(self, backend: Backend, endpoint: str, destination: Destination, sender: Sender, folder: Path) -> None:
        self._backend = backend
        self._endpoint = endpoint
        self._sender = sender
        digest = hashlib.sha256(destination.address.encode()).hexdigest()[:16]
        self._state = folder / f"{endpoint}-{digest}.json"

    def export(self, note: Callable[[int], None] = lambda _sent: None) -> Exported:
        """Hand on all that was recorded since the last time; `note` is told how many after each batch.

        Raises what `Backend.download_telemetry` and `Sender.send` do; what was sent until then is kept in mind.
        """
        with tempfile.TemporaryDirectory(prefix="bankmlops-export-") as folder:
            copied = self._backend.download_telemetry(self._endpoint, Path(folder))
            files = [path for path in copied if path.name.startswith("telemetry")]
            mark = self._mark()
            done = Exported(gap=is_lost(files, mark))
            while True:
                requests, mark = read_after(files, mark, MAXIMUM_TOGETHER)
                if not requests:
                    self._keep(mark)
                    return done
                verdict = self._sender.send(self._endpoint, requests)
                self._keep(mark)
                done = Exported(
                    done.sent + len(requests), done.refused + verdict.refused, verdict.reason or done.reason, done.gap
                )
                note(done.sent)

    def _mark(self) -> Mark:
        try:
            with self._state.open("rb") as file:
                document = json.loads(file.read(_MAXIMUM_STATE))
            return Mark(str(document["file"]), int(document["offset"]))
        except (OSError, ValueError, KeyError, TypeError):
            return Mark()

    def _keep(self, mark: Mark) -> None:
        partial = self._state.with_suffix(f".{os.getpid()}.partial")
        try:
            self._state.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(asdict(mark), file)
            partial.replace(self._state)
        except OSError as error:
            raise BackendUnavailableError(f"{self._state} can't be written: {error.strerror}") from error
