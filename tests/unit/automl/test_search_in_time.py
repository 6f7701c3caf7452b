"""What a search begins in what is left of its time: nothing that can't end, and for a far better trial it has a little more."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from bankmlops.automl import run
from bankmlops.automl.executor import ProcessExecutor, processes
from bankmlops.automl.run import run_automl
from bankmlops.automl.search import Search
from bankmlops.automl.table import prepare
from bankmlops.automl.tasks import FitTask, read_results
from bankmlops.automl.trials_on_disk import open_search_folder
from unit.automl.tables import columns, config
from unit.automl.test_run import Told

pytestmark = pytest.mark.slow

ROWS = 6000  # of which a fold takes boosting several times as long as logistic regression
FOLDS = 3
ENOUGH_SECONDS = 120.0


class _Noted:
    """An executor that notes what was begun, as (learner, trial, fold)."""

    def __init__(self, executor: ProcessExecutor) -> None:
        self._executor = executor
        self.begun: list[tuple[str, int, int]] = []

    def submit(self, task: FitTask) -> None:
        trial, fold = task.name.removeprefix("trial-").split("-")
        self.begun.append((task.algorithm, int(trial), int(fold)))
        self._executor.submit(task)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._executor, name)


def _begun(folder: Path, seconds_left: Callable[[Search], float | None], models: tuple[str, ...]) -> list[tuple[str, int, int]]:
    """What a search begins, as (learner, trial, fold); it has plenty of time, until `seconds_left` says how much there is."""
    asked = config(columns(ROWS, 2), n_cross_validations=FOLDS, allowed_models=models)
    table = prepare(columns(ROWS, 2), asked)
    open_search_folder(folder, table.fingerprint)
    far = end = time.monotonic() + ENOUGH_SECONDS

    def until() -> float:
        nonlocal end
        left = seconds_left(found) if end == far else None
        end = end if left is None else time.monotonic() + left
        return end

    with processes(folder, table.matrix, table.labels, table.folds) as executor:
        noted = _Noted(executor)
        found = Search(noted, folder, table, asked, slots=1, on_trial=lambda _: None)
        found.run(until, far, lambda: None)
    assert not any("given up" in path.read_text() for path in folder.glob("ends/*"))
    return noted.begun


def _longest(folder: Path) -> dict[str, float]:
    """What each learner's longest fold took, in seconds."""
    found = sorted((task.algorithm, result.seconds) for task, result in read_results(folder))
    return dict(found)


def test_no_trial_that_cannot_end(tmp_path: Path) -> None:
    """Where what is left is shorter than all folds of a trial, none is begun, and the search is over ahead of its time."""

    def left(search: Search) -> float | None:
        return 2.5 * _longest(tmp_path)["LightGBM"] if search.ended == 1 else None

    assert _begun(tmp_path, left, ("LightGBM",)) == _folds_of("LightGBM", 0)


def test_no_fold_that_cannot_end(tmp_path: Path) -> None:
    """Where what is left is shorter than a fold, a trial that is under way and lacks some goes no further."""

    def left(search: Search) -> float | None:
        is_under_way = search.ended == 1 and (tmp_path / "trial-0001-0" / "result.json").exists()
        return 0.5 * _longest(tmp_path)["LightGBM"] if is_under_way else None

    assert _begun(tmp_path, left, ("LightGBM",)) == [*_folds_of("LightGBM", 0), ("LightGBM", 1, 0)]


def test_a_quick_learner_goes_on(tmp_path: Path) -> None:
    """What is left may be too short for one learner's folds and not for another's, which then goes on alone."""

    def left(search: Search) -> float | None:
        return sum(_longest(tmp_path).values()) / 2 * FOLDS if search.ended == 2 else None

    begun = _begun(tmp_path, left, ("LogisticRegression", "LightGBM"))
    assert begun[: 2 * FOLDS] == _folds_of("LogisticRegression", 0) + _folds_of("LightGBM", 1)
    assert {learner for learner, *_ in begun[2 * FOLDS :]} == {"LogisticRegression"}


def _folds_of(learner: str, trial: int) -> list[tuple[str, int, int]]:
    return [(learner, trial, fold) for fold in range(FOLDS)]


def test_a_far_better_trial_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a trial is under way beside which no blend would take those that ended, the search has half of what closing takes."""
    moments: dict[bool, set[float]] = {False: set(), True: set()}

    class Noted(Search):
        load = 1.0  # as on a machine of its own

        def run(self, until: Callable[[], float], last_moment: float, on_tick: Callable[[], None]) -> None:
            def noted() -> float:
                moment = until()
                if len(self.contenders) == 1:
                    moments[self.awaits_better].add(moment)
                return moment

            super().run(noted, last_moment, on_tick)

    monkeypatch.setattr(run, "Search", Noted)
    rows = 600
    numbers = numpy.random.default_rng(0).normal(size=(rows, 2))
    labels = numpy.where(numbers[:, 0] * numbers[:, 1] > 0, "yes", "no").astype(object)  # which no line divides
    table = {"a": numbers[:, 0], "b": numbers[:, 1], "y": labels}
    fields = {"allowed_models": ("LogisticRegression", "RandomForest"), "iterations": 2, "max_concurrent_iterations": 1}
    asked = config(table, n_cross_validations=3, model_explainability=False, **fields)
    outcome = run_automl(table, asked, tmp_path / "outputs", Told(), seconds=60.0)
    assert outcome.winner.algorithm in ("RandomForest", "VotingEnsemble")
    (usual,), (later,) = moments[False], moments[True]
    closing = run._CLOSING_SECONDS + run._CLOSING_SECONDS_A_MILLION_ROWS * rows / 1e6
    assert later - usual == pytest.approx(closing / 2)
