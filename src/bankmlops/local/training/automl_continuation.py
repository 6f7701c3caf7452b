"""A run that goes on from an earlier one's trials: what it takes over, and what its own time bought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bankmlops.local.training.automl_records import AutoMLRecord
from bankmlops.types import AutoMLConfig, ChildRun, Dataset, Device, Run

if TYPE_CHECKING:
    from bankmlops.automl.earlier import EarlierRun

CONTINUES_TAG = "continues"
BEFORE_TAG, AFTER_TAG = "score.before", "score.after"
SECONDS_BEFORE_TAG, SECONDS_AFTER_TAG = "seconds.before", "seconds.after"
_SEARCH = "search"


def continued(config: AutoMLConfig, minutes: float, dataset: Dataset) -> AutoMLConfig:
    """What the new run is asked for: as long as its minutes last, since what ended the earlier one would end it at once."""
    device = Device.AUTO if config.device is Device.CUDA else config.device  # its GPU may be gone
    asked = replace(config, experiment_timeout_minutes=minutes, dataset=dataset, device=device)
    return replace(asked, iterations=None, experiment_exit_score=None)


def is_same_data(earlier: AutoMLConfig, later: AutoMLConfig) -> bool:
    """Whether scores of both are of the same rows: of a large table more minutes look at more of them."""
    from bankmlops.automl.sampling import is_same_sample

    return earlier.dataset.sha256 == later.dataset.sha256 and is_same_sample(later.dataset.rows, earlier, later)


def hand_over(
    earlier: AutoMLRecord, best_first: Sequence[ChildRun], from_folder: Path, to_folder: Path, *, same_data: bool
) -> None:
    """Leave in the new run's folder what it goes on from; scores of other data are no part of it. Raises `OSError`.

    The time is that up to the search's last word, whenever somebody saw that the run had ended.
    """
    from bankmlops.automl.earlier import EarlierRun, configurations, read_earlier, read_over_time, take_over, write_earlier

    before = read_earlier(from_folder)
    untouched = (before.seconds, before.progress) if before else (0.0, ())  # by a run that ended before its search began
    seconds, points = read_over_time(from_folder / _SEARCH) or untouched
    starts = configurations(from_folder / _SEARCH, [child.iteration for child in best_first])
    if same_data:
        take_over(to_folder / _SEARCH, from_folder / _SEARCH)
    write_earlier(to_folder, EarlierRun(earlier.run.id, seconds, points if same_data else (), starts, same_data))


def tags_before(run: Run, best: ChildRun | None, *, same_data: bool) -> dict[str, str]:
    """Which run it goes on from, and that one's best score where it is of the same data."""
    score = {BEFORE_TAG: f"{best.score:.6f}"} if best and same_data else {}
    return {CONTINUES_TAG: run.id, **score}


def tags_after(earlier: EarlierRun, seconds: float, winner: ChildRun) -> dict[str, str]:
    """What the time of both bought."""
    return {
        AFTER_TAG: f"{winner.score:.6f}",
        SECONDS_BEFORE_TAG: f"{earlier.seconds:.0f}",
        SECONDS_AFTER_TAG: f"{earlier.seconds + seconds:.0f}",
    }
