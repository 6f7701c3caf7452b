"""What a search leaves in its folder, so that another can go on from it: each fold's result, and each trial's end."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bankmlops.automl.tasks import ALL_ROWS, RESULT, FitResult, read_results
from bankmlops.types import RunStatus

_FINGERPRINT = "fingerprint"
_ENDS = "ends"
_TRIAL = "trial-"


@dataclass(frozen=True, slots=True)
class EndedTrial:
    """A trial that was given up: why."""

    number: int
    status: RunStatus
    error: str


@dataclass
class FoundTrial:
    """A trial as an earlier search left it: its folds' results, and its end where it was given up."""

    number: int
    algorithm: str
    parameters: Mapping[str, float]
    results: dict[int, FitResult] = field(default_factory=dict)
    end: EndedTrial | None = None


def task_name(number: int, fold: int) -> str:
    """What a fold of a trial is called."""
    return f"{_TRIAL}{number:04d}-{fold}"


def open_search_folder(folder: Path, fingerprint: str) -> None:
    """Make the folder; what a search of another table left there is removed. Raises `OSError`."""
    mark = folder / _FINGERPRINT
    if folder.exists() and (not mark.exists() or mark.read_text() != fingerprint):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("refit-*"):
        shutil.rmtree(left)
    write_whole(mark, fingerprint)


def write_end(folder: Path, end: EndedTrial) -> None:
    """Remember that a trial was given up. Raises `OSError`."""
    (folder / _ENDS).mkdir(exist_ok=True)
    write_whole(folder / _ENDS / f"{end.number:04d}.json", json.dumps({"status": end.status, "error": end.error}))


def next_number(folder: Path) -> int:
    """One more than the highest number of a trial that an earlier search told of, also where it left nothing to go on from."""
    fitted = [_number(path.parent.name) for path in folder.glob(f"{_TRIAL}*/{RESULT}")]
    return max([*fitted, *(int(path.stem) for path in _ends(folder))], default=-1) + 1


def find_trials(folder: Path) -> Sequence[FoundTrial]:
    """The trials that an earlier search began, by number: those first that have the most folds."""
    found: dict[int, FoundTrial] = {}
    for task, result in read_results(folder):
        if task.fold != ALL_ROWS:
            number = _number(task.name)
            found.setdefault(number, FoundTrial(number, task.algorithm, task.parameters)).results[task.fold] = result
    for path in _ends(folder):
        number = int(path.stem)
        if number in found:
            found[number].end = _read_end(number, path)
    return sorted(found.values(), key=lambda trial: (-len(trial.results), trial.number))


def lost_trials(folder: Path, found: Sequence[FoundTrial]) -> Sequence[EndedTrial]:
    """Those, beside the found ones, that an earlier search gave up before a fold had ended: there is nothing to go on from."""
    numbers = {trial.number for trial in found}
    ends = [_read_end(int(path.stem), path) for path in _ends(folder) if int(path.stem) not in numbers]
    return [end for end in ends if end is not None]


def _ends(folder: Path) -> Sequence[Path]:
    return sorted((folder / _ENDS).glob("[0-9]*.json"))


def _read_end(number: int, path: Path) -> EndedTrial | None:
    """None where a power cut left half of it: the trial goes on with the folds that it lacks."""
    try:
        document = json.loads(path.read_text())
        return EndedTrial(number, RunStatus(document["status"]), document["error"])
    except ValueError:
        return None


def _number(name: str) -> int:
    return int(name.removeprefix(_TRIAL).partition("-")[0])


def write_whole(path: Path, text: str) -> None:
    """Whole or not at all: a kill, or a power cut, may come at any time. Raises `OSError`."""
    waiting = path.with_name(f".{path.name}")
    with waiting.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(waiting, path)
