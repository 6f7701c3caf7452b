"""What a run goes on from: the best configurations of an earlier one, its trials, and the time that both took."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy
import pytest

from bankmlops.automl.algorithms import algorithm_named
from bankmlops.automl.earlier import (
    EarlierRun,
    ScoreOverTime,
    configurations,
    read_earlier,
    read_over_time,
    take_over,
    write_earlier,
)
from bankmlops.automl.proposals import Proposer
from bankmlops.automl.report_trials import earlier, given_up
from bankmlops.automl.results import Trial
from bankmlops.automl.tasks import FitResult, FitTask, write_result
from bankmlops.automl.trials_on_disk import task_name
from bankmlops.errors import InvalidRequestError
from bankmlops.types import RunStatus

EARLIER = EarlierRun("AutoML_1", 60.0, ((10.0, 0.9), (50.0, 0.91)), (("LogisticRegression", {"C": 0.5}),), same_data=False)


def _leave(folder: Path, number: int, c: float) -> None:
    task = FitTask(task_name(number, 0), "LogisticRegression", {"C": c}, 0, 1)
    write_result(folder, task, FitResult(1.0, probabilities=numpy.ones((2, 2))))


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    """What was left in a run's folder is found there, and nothing where nothing was left."""
    assert read_earlier(tmp_path) is None
    write_earlier(tmp_path, EARLIER)
    assert read_earlier(tmp_path) == EARLIER


@pytest.mark.parametrize("content", ["", '{"run_id": "AutoML_1", "sec', "null", "[1]", "{}", '{"progress": [1], "starts": []}'])
def test_a_damaged_one(tmp_path: Path, content: str) -> None:
    """It is named, with what serves."""
    (tmp_path / "earlier.json").write_text(content)
    with pytest.raises(InvalidRequestError, match=r"earlier.json is damaged.*`automl run` begins anew"):
        read_earlier(tmp_path)


def test_it_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is killed while it is written has none, or the one before."""
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_earlier(tmp_path, EARLIER)
    assert read_earlier(tmp_path) is None


def test_the_best_configurations_are_taken(tmp_path: Path) -> None:
    """Of each learner the best few, in the order of their scores; the trials are copied, but no half-made refit and no times."""
    for number in range(5):
        _leave(tmp_path / "search", number, number + 0.5)
    (tmp_path / "search" / "refit-0001-0").mkdir()
    ScoreOverTime(tmp_path / "search", None).add(1.0, 0.9)
    found = configurations(tmp_path / "search", [3, 1, 9, 0, 2])
    assert found == tuple(("LogisticRegression", {"C": c}) for c in (3.5, 1.5, 0.5))
    take_over(tmp_path / "other", tmp_path / "search")
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == [f"trial-{number:04d}-0" for number in range(5)]


def test_they_are_tried_first() -> None:
    """A learner's earlier best goes ahead of its own starting points."""
    proposer = Proposer([algorithm_named("LogisticRegression")], 1)
    proposer.begin_with("LogisticRegression", EARLIER.starts_of("LogisticRegression"))
    assert EARLIER.starts_of("LightGBM") == []
    tried = [proposal.parameters["C"] for _ in range(2) if (proposal := proposer.propose({}))]
    assert tried == [0.5, algorithm_named("LogisticRegression").starts[0]["C"]]


def test_time_goes_on(tmp_path: Path) -> None:
    """A trial's seconds count on from those of the earlier runs, and in a run that is resumed from when it was ended."""
    curve = ScoreOverTime(tmp_path, EARLIER)
    curve.add(5.0, 0.92)
    assert curve.points == [(10.0, 0.9), (50.0, 0.91), (65.0, 0.92)]
    curve.reach(7.0)
    assert read_over_time(tmp_path) == (67.0, tuple(curve.points))
    resumed = ScoreOverTime(tmp_path, EARLIER)
    resumed.add(3.0, 0.93)
    assert resumed.points == [*curve.points, (70.0, 0.93)]
    (tmp_path / "over_time.json").write_text("")  # as a power cut leaves it
    assert ScoreOverTime(tmp_path, None).points == []


def test_the_report_says_what_it_bought() -> None:
    """The gain over the earlier best is shown where it is of the same rows, and what was given up with its reason."""
    assert "+0.0100" in earlier(replace(EARLIER, same_data=True), "accuracy", 0.92, 30.0)
    on_other_rows = earlier(replace(EARLIER, progress=()), "accuracy", 0.92, 30.0)
    assert "AutoML_1" in on_other_rows
    assert "0.9" not in on_other_rows
    assert earlier(None, "accuracy", 0.92, 30.0) == ""
    trial = Trial(4, "RandomForest", RunStatus.CANCELED, float("nan"), {}, {}, 2.0, error="given up: <worse>")
    assert "given up: &lt;worse&gt;" in given_up([trial])
    assert given_up([]) == ""
