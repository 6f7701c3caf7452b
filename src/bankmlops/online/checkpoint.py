"""Where the loop stands, in one file that is replaced whole: whoever is killed goes on from the last one."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy

from bankmlops.errors import BackendUnavailableError, InvalidRequestError

Array = numpy.ndarray[Any, Any]

FILE = "checkpoint.npz"


@dataclass
class Checkpoint:
    """`row` rows are predicted and the first `learnt` labels taken; `predictions` float64 [policies, rows], NaN before that.

    `champion` and `periodic` are the folders of these policies' present models, `retrained` after how many labels there was a new
    one, `learner` is the challenger's state. `fingerprint` is that of the stream, as far as it went. `new_champions` are the rows
    from which on there was one.
    """

    fingerprint: str
    settings: str
    row: int
    learnt: int
    predictions: Array
    champion: str
    periodic: str
    learner: bytes
    retrained: list[int] = field(default_factory=list)
    new_champions: list[int] = field(default_factory=list)


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the last one. Raises `BackendUnavailableError` where the disk refuses."""
    document = {name: value for name, value in vars(checkpoint).items() if name not in ("predictions", "learner")}
    content = io.BytesIO()
    learner = numpy.frombuffer(checkpoint.learner, dtype=numpy.uint8)
    numpy.savez(content, predictions=checkpoint.predictions, learner=learner, document=numpy.array(json.dumps(document)))
    waiting = folder / f".{FILE}"
    with _disk_errors(folder):
        with waiting.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        waiting.replace(folder / FILE)


def load(folder: Path) -> Checkpoint | None:
    """The last one, None where there is none. Raises `InvalidRequestError` for a damaged one."""
    try:
        with numpy.load(folder / FILE, allow_pickle=False) as arrays:
            document = json.loads(str(arrays["document"]))
            return Checkpoint(**document, predictions=arrays["predictions"], learner=arrays["learner"].tobytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidRequestError(f"{folder / FILE} is damaged ({error}); begin anew with --fresh") from error


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BackendUnavailableError(f"{folder}: can't be written ({error.strerror}); free space, and run it again") from error
