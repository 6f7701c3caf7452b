"""What a run goes on from: the trials of an earlier one, and how its best score grew with its time.

On the same data the earlier trials count as done: their folds are in the search folder. On other data their configurations are
tried first, each learner's best ahead of its own starting points.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bankmlops.automl.algorithms import ALGORITHM_NAMES, NETWORK
from bankmlops.automl.trials_on_disk import find_trials, write_whole
from bankmlops.errors import InvalidRequestError

_FILE, _OVER_TIME = "earlier.json", "over_time.json"
MAXIMUM_STARTS = 3  # of one learner


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """`seconds` are those that all earlier runs took together; `progress` is (seconds, score) of each of their trials.

    `starts` are configurations, the best first: an algorithm's name and its parameters. `same_data` says that its trials count.
    """

    run_id: str
    seconds: float
    progress: tuple[tuple[float, float], ...] = ()
    starts: tuple[tuple[str, Mapping[str, float]], ...] = ()
    same_data: bool = True

    def starts_of(self, algorithm: str) -> list[dict[str, float]]:
        """The configurations of one learner, the best first."""
        return [dict(parameters) for name, parameters in self.starts if name == algorithm]


class ScoreOverTime:
    """(seconds, score) of each trial, over the time of all runs together; a resumed run finds it in the search folder.

    Raises `OSError` where the disk refuses.
    """

    def __init__(self, folder: Path, earlier: EarlierRun | None) -> None:
        self._path = folder / _OVER_TIME
        self._before, points = read_over_time(folder) or ((earlier.seconds, earlier.progress) if earlier else (0.0, ()))
        self.points = list(points)

    def at(self, seconds: float) -> float:
        """The seconds of all runs together, `seconds` after this one was begun or resumed."""
        return self._before + seconds

    def add(self, seconds: float, score: float) -> None:
        """A trial that ended then."""
        self.points.append((self.at(seconds), score))
        self.reach(seconds)

    def reach(self, seconds: float) -> None:
        """So far the run has come, whatever ends it."""
        waiting = self._path.with_name(f".{_OVER_TIME}")
        waiting.write_text(json.dumps([self.at(seconds), self.points]))
        os.replace(waiting, self._path)


def read_over_time(folder: Path) -> tuple[float, tuple[tuple[float, float], ...]] | None:
    """What all runs took together and the points, as the search in the folder left them; None where it left none."""
    try:
        seconds, points = json.loads((folder / _OVER_TIME).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return seconds, tuple((when, score) for when, score in points)


def take_over(folder: Path, from_folder: Path) -> None:
    """Copy an earlier search's trials (links, where the disk can). Raises `OSError`."""
    if from_folder.exists():
        shutil.copytree(from_folder, folder, copy_function=_link, ignore=shutil.ignore_patterns("refit-*", f"*{_OVER_TIME}"))


def configurations(folder: Path, best_first: Sequence[int]) -> tuple[tuple[str, dict[str, float]], ...]:
    """Those of the trials whose numbers are given, a few of each learner."""
    found = {trial.number: trial for trial in find_trials(folder)}
    counts = dict.fromkeys((*ALGORITHM_NAMES, NETWORK.name), 0)
    chosen = []
    for number in best_first:
        trial = found.get(number)
        if trial is not None and counts.get(trial.algorithm, MAXIMUM_STARTS) < MAXIMUM_STARTS:
            counts[trial.algorithm] += 1
            chosen.append((trial.algorithm, dict(trial.parameters)))
    return tuple(chosen)


def write_earlier(folder: Path, earlier: EarlierRun) -> None:
    """Leave it in the run's folder. Raises `OSError`."""
    write_whole(folder / _FILE, json.dumps(asdict(earlier)))


def read_earlier(folder: Path) -> EarlierRun | None:
    """What `write_earlier` left there, or None. Raises `InvalidRequestError` where it is damaged."""
    path = folder / _FILE
    if not path.exists():
        return None
    try:
        document: dict[str, Any] = {**json.loads(path.read_text(encoding="utf-8"))}
        progress = tuple((seconds, score) for seconds, score in document.pop("progress"))
        starts = tuple((name, parameters) for name, parameters in document.pop("starts"))
        return EarlierRun(**document, progress=progress, starts=starts)
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidRequestError(
            f"{path} is damaged, so what run {folder.name} goes on from is not known; `automl run` begins anew"
        ) from error


def _link(source: str, target: str) -> object:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return target
