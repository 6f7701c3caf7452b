"""The leaderboard and the winner's metrics as files."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from bankmlops.automl.results import Trial
from bankmlops.automl.winner import rank
from bankmlops.types import RunStatus


def completed_best_first(trials: Sequence[Trial], primary_metric: str) -> tuple[Trial, ...]:
    """The trials that have a place on the leaderboard, in its order."""
    completed = [trial for trial in trials if trial.status is RunStatus.COMPLETED]
    return tuple(sorted(completed, key=lambda trial: rank(trial, primary_metric)))


def write_leaderboard(folder: Path, trials: Sequence[Trial]) -> None:
    """Write `leaderboard.csv` into the folder."""
    names = sorted({name for trial in trials for name in trial.metrics})
    with (folder / "leaderboard.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["rank", "iteration", "algorithm", "seconds", *names, "parameters"])
        for rank, trial in enumerate(trials, start=1):
            values = [trial.metrics.get(name, "") for name in names]
            parameters = json.dumps(dict(trial.parameters))
            writer.writerow([rank, trial.iteration, trial.algorithm, round(trial.seconds, 3), *values, parameters])


def write_metrics(folder: Path, winner: Trial) -> None:
    """Write `metrics.json` into the folder."""
    document = {"algorithm": winner.algorithm, "iteration": winner.iteration, "metrics": dict(winner.metrics)}
    (folder / "metrics.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
