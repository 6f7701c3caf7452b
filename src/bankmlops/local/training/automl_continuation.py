"""A run that goes on from an earlier one's trials: what it takes over, and what its own time bought."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bankmlops.local.training.automl_records import AutoMLRecord, AutoMLRecords
from bankmlops.types import ChildRun, Run, RunStatus

if TYPE_CHECKING:
    from bankmlops.automl.earlier import EarlierRun

CONTINUES_TAG = "continues"
BEFORE_TAG, AFTER_TAG = "score.before", "score.after"
SECONDS_BEFORE_TAG, SECONDS_AFTER_TAG = "seconds.before", "seconds.after"
_SEARCH = "search"


def hand_over(records: AutoMLRecords, earlier: AutoMLRecord, from_folder: Path, to_folder: Path, *, same_data: bool) -> None:
    """Leave in the new run's folder what it goes on from. Raises `OSError`."""
    from bankmlops.automl.earlier import EarlierRun, configurations, read_earlier, take_over, write_earlier

    before = read_earlier(from_folder)
    began = before.seconds if before else 0.0
    run_id = earlier.run.id
    started = earlier.run.started
    points = [
        (began + (trial.ended - started).total_seconds(), trial.child.score)
        for trial in records.trials_after(run_id, 0)
        if started and trial.child.status is RunStatus.COMPLETED
    ]
    best_first = [child.iteration for child in records.children(run_id)]
    if same_data:
        take_over(to_folder / _SEARCH, from_folder / _SEARCH)
    write_earlier(
        to_folder,
        EarlierRun(
            run_id,
            began + earlier.run.seconds,
            (*(before.progress if before else ()), *points),
            configurations(from_folder / _SEARCH, best_first),
            same_data,
        ),
    )


def tags_before(run: Run, best: ChildRun | None) -> dict[str, str]:
    """Which run it goes on from, what that took, and its best score."""
    score = {BEFORE_TAG: f"{best.score:.6f}"} if best else {}
    return {CONTINUES_TAG: run.id, **score}


def tags_after(earlier: EarlierRun, seconds: float, winner: ChildRun) -> dict[str, str]:
    """What the time of both bought."""
    return {
        AFTER_TAG: f"{winner.score:.6f}",
        SECONDS_BEFORE_TAG: f"{earlier.seconds:.0f}",
        SECONDS_AFTER_TAG: f"{earlier.seconds + seconds:.0f}",
    }
