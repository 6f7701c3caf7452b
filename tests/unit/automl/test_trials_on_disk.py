"""What a search left in its folder, whatever ended it: whole results count, half ones don't, and no number is used twice."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest

from bankmlops.automl.tasks import FitResult, FitTask, read_result, write_result
from bankmlops.automl.trials_on_disk import EndedTrial, find_trials, lost_trials, next_number, task_name, write_end
from bankmlops.types import RunStatus


def _leave(folder: Path, number: int, fold: int, error: str = "") -> FitTask:
    task = FitTask(task_name(number, fold), "LogisticRegression", {"C": 1.0}, fold, 1)
    write_result(folder, task, FitResult(1.0, error=error, probabilities=numpy.ones((20, 2))))
    return task


@pytest.mark.parametrize("name", ["result.json", "probabilities.npy"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_half_a_result_is_none(tmp_path: Path, name: str, share: float) -> None:
    """A file that a power cut left empty or cut short is a fold that did not end; the others count."""
    _leave(tmp_path, 0, 0)
    task = _leave(tmp_path, 0, 1)
    path = tmp_path / task.name / name
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert read_result(tmp_path, task) is None
    (trial,) = find_trials(tmp_path)
    assert sorted(trial.results) == [0]


def test_a_result_without_its_probabilities(tmp_path: Path) -> None:
    """It is none either; an error has no probabilities, and is one."""
    task = _leave(tmp_path, 0, 0)
    (tmp_path / task.name / "probabilities.npy").unlink()
    assert read_result(tmp_path, task) is None
    failed = read_result(tmp_path, _leave(tmp_path, 1, 0, error="it blew up"))
    assert failed is not None
    assert failed.error == "it blew up"


def test_half_an_end_is_none(tmp_path: Path) -> None:
    """A trial whose end can't be read goes on."""
    for number in (0, 1):
        _leave(tmp_path, number, 0)
        write_end(tmp_path, EndedTrial(number, RunStatus.CANCELED, "given up"))
    (tmp_path / "ends" / "0001.json").write_text("")
    assert [trial.end for trial in find_trials(tmp_path)] == [EndedTrial(0, RunStatus.CANCELED, "given up"), None]


def test_the_next_number(tmp_path: Path) -> None:
    """It is above every trial's that was told of: also one's whose process died, or whose result can't be read any more."""
    assert next_number(tmp_path) == 0
    _leave(tmp_path, 2, 0)
    assert next_number(tmp_path) == 3
    write_end(tmp_path, EndedTrial(4, RunStatus.FAILED, "its process died"))
    assert next_number(tmp_path) == 5
    task = _leave(tmp_path, 7, 0)
    (tmp_path / task.name / "result.json").write_text("")
    assert next_number(tmp_path) == 8


def test_those_that_left_nothing(tmp_path: Path) -> None:
    """One that was given up without a whole fold is lost; one with a fold, or whose end can't be told, is not."""
    assert lost_trials(tmp_path, find_trials(tmp_path)) == []
    _leave(tmp_path, 0, 0)
    for number in (0, 1):
        write_end(tmp_path, EndedTrial(number, RunStatus.FAILED, "its process died"))
    _leave(tmp_path, 2, 0)
    (tmp_path / "ends" / "0003.json").write_text("")
    assert lost_trials(tmp_path, find_trials(tmp_path)) == [EndedTrial(1, RunStatus.FAILED, "its process died")]
