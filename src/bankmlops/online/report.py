"""What a loop has found, as a value and as a file beside its checkpoint."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bankmlops.errors import ConflictError, InvalidRequestError, NotFoundError
from bankmlops.online.scores import Comparison, PolicyScore

FILE = "report.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")


@dataclass(frozen=True, slots=True)
class OnlineReport:
    """The policies' scores, the challenger against the present champion on the newest labels, and the run that keeps the former.

    `rows` of the stream were predicted, `labels` have arrived; the periodic policy had new models after the labels `retrained`.
    `champion` is a NAME:VERSION, "" where it was trained on the warm-up; after `new_champions` scored labels
    there was another one, and what those before it had answered is in the scores alone.
    """

    name: str
    rows: int
    labels: int
    retrained: tuple[int, ...]
    scores: tuple[PolicyScore, ...]
    comparison: Comparison
    run_id: str = ""
    fingerprint: str = ""
    champion: str = ""
    new_champions: tuple[int, ...] = ()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Make the folder (0700), and hold it against every other process. Raises `ConflictError` where another has it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ConflictError(f"another process works in {folder}; wait for it to end") from None
    finally:
        os.close(descriptor)


def write_report(folder: Path, report: OnlineReport) -> None:
    """Replace it whole."""
    waiting = folder / f".{FILE}"
    waiting.write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")
    waiting.replace(folder / FILE)


def read_report(folder: Path) -> OnlineReport:
    """The last one. Raises `NotFoundError` where there is none, `InvalidRequestError` for a damaged one."""
    try:
        return _report(json.loads((folder / FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise NotFoundError(f"there is no finished online run {folder.name!r}; `bankmlops online run` makes one") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequestError(f"{folder / FILE} is damaged ({error}); begin anew with --fresh") from error


def last_report(folder: Path) -> OnlineReport | None:
    """The last one, None where there is none."""
    return read_report(folder) if (folder / FILE).exists() else None


def check_name(name: str) -> None:
    """Raise `InvalidRequestError` where no folder and no experiment can be called so."""
    if not _NAME.fullmatch(name):
        raise InvalidRequestError(f"online run name {name!r}: letters, digits, - and _, at most 60, would serve")


def _report(document: dict[str, Any]) -> OnlineReport:
    scores = tuple(PolicyScore(**each) for each in document.pop("scores"))
    comparison = Comparison(**document.pop("comparison"))
    lists = {name: tuple(document.get(name, ())) for name in ("retrained", "new_champions")}
    return OnlineReport(**{**document, **lists}, scores=scores, comparison=comparison)
