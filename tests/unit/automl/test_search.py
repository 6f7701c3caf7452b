"""A search with real trials on a small table: what ends it, what is repeated exactly, and what a kill leaves to go on from."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from bankmlops.automl import Trial, stopping
from bankmlops.automl.executor import processes
from bankmlops.automl.metrics import log_loss
from bankmlops.automl.proposals import USELESS_RATIO
from bankmlops.automl.search import GIVE_UP_RATIOS, Search
from bankmlops.automl.table import Table, prepare
from bankmlops.automl.tasks import read_results
from bankmlops.automl.trials_on_disk import EndedTrial, open_search_folder, write_end
from bankmlops.types import AutoMLConfig, RunStatus
from unit.automl.tables import columns, config

pytestmark = pytest.mark.slow

ROWS = 300
ENOUGH_SECONDS = 120.0
BEGIN = """
import sys
from pathlib import Path
from unit.automl.tables import columns, config
from unit.automl.test_search import search

def say(trial):
    print(trial.iteration, trial.status, trial.score, flush=True)

search(Path(sys.argv[1]), config(columns({rows}, 2), **{fields}), say)
"""


def search(folder: Path, asked: AutoMLConfig, on_trial: Any, slots: int = 1) -> Search:
    """Search in the folder until the configuration says that it is enough; what was there before counts."""
    table = prepare(columns(asked.dataset.rows, 2), asked)
    open_search_folder(folder, table.fingerprint)
    with processes(folder, table.matrix, table.labels, table.folds) as executor:
        found = Search(executor, folder, table, asked, slots=slots, on_trial=on_trial)
        end = time.monotonic() + ENOUGH_SECONDS
        found.run(lambda: end, end, lambda: None)
        return found


def _search(folder: Path, slots: int = 1, rows: int = ROWS, **fields: Any) -> tuple[Search, list[Trial]]:
    told: list[Trial] = []
    found = search(folder, config(columns(rows, 2), **fields), told.append, slots)
    return found, told


def _summary(trials: list[Trial]) -> list[tuple[Any, ...]]:
    return [(trial.iteration, trial.algorithm, str(trial.status), repr(trial.score), trial.parameters) for trial in trials]


def test_the_same_seed_is_the_same_leaderboard(tmp_path: Path) -> None:
    """With a number of iterations, one trial at a time and time enough, two searches tell the same trials to the last bit."""
    fields = {"iterations": 7, "n_cross_validations": 2, "allowed_models": ("LightGBM", "RandomForest")}
    first, second = (_summary(_search(tmp_path / name, **fields)[1]) for name in ("first", "second"))
    assert first == second
    assert [number for number, *_ in first] == list(range(7))
    assert len({repr(parameters) for *_, parameters in first}) == 7


def test_a_score_that_is_good_enough(tmp_path: Path) -> None:
    """The search ends with the trial that reaches `experiment_exit_score`."""
    found, told = _search(tmp_path, experiment_exit_score=0.6, validation_size=0.2)
    assert [len(contender.probabilities) for contender in found.contenders] == [60]  # of the rows that are held out
    assert len(told) == 1
    assert found.stopped_early == "experiment_exit_score 0.6 is reached"


def test_nothing_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where trials bring nothing any more, the search ends; without early stopping it goes on."""
    for name, value in (("LANDMARK_TRIALS", 2), ("PATIENCE_TRIALS", 2), ("LOOK_EVERY", 1), ("LEAST_GAIN", 0.5)):
        monkeypatch.setattr(stopping, name, value)
    fields = {"iterations": 6, "n_cross_validations": 2, "allowed_models": ("LogisticRegression",)}
    found, told = _search(tmp_path, **fields)
    assert (len(told), found.stopped_early) == (4, "2 trials in a row brought nothing better")
    found, told = _search(tmp_path, enable_early_stopping=False, **fields)
    assert (len(told), found.stopped_early) == (6, "")


def _losses(folder: Path, table: Table) -> dict[int, list[float]]:
    """Of each trial the log loss of each fold that it has, in the order of the folds."""
    found: dict[int, list[float]] = {}
    for task, result in read_results(folder):
        trial = int(task.name.removeprefix("trial-").partition("-")[0])
        found.setdefault(trial, []).append(log_loss(table.labels[table.folds == task.fold], result.probabilities))
    return found


def test_what_is_clearly_worse_is_given_up(tmp_path: Path) -> None:
    """A configuration is given up with the first fold at which it is behind its learner's best by that number of folds' ratio,
    and no other one is: its further folds are never fitted.
    """
    fields = {"n_cross_validations": 4, "allowed_models": ("LightGBM",), "random_seed": 3}
    _, told = _search(tmp_path, iterations=8, enable_early_stopping=False, **fields)
    found = _losses(tmp_path, prepare(columns(ROWS, 2), config(columns(ROWS, 2), **fields)))
    best = found[0]
    for trial in told[2:]:  # the first two are starting points
        losses = found[trial.iteration]
        ratios = [sum(losses[:folds]) / sum(best[:folds]) for folds in range(1, len(losses) + 1)]
        behind = [ratio > limit for ratio, limit in zip(ratios[:3], GIVE_UP_RATIOS, strict=False)]
        if trial.status is RunStatus.COMPLETED:
            assert (len(losses), any(behind)) == (4, False)
        else:
            assert trial.error == "given up: clearly worse than the best on the same rows"
            assert behind == [False] * (len(losses) - 1) + [True]
        best = min(best, losses, key=sum) if len(losses) == 4 else best
    short = {len(found[trial.iteration]) for trial in told if trial.status is RunStatus.CANCELED}
    assert len(short - {4}) > 1, "some after one fold, some after more"


def test_a_learner_that_no_blend_would_take(tmp_path: Path) -> None:
    """A starting point too is given up after one fold where it is far behind the best of all; no more of its learner is tried."""
    fields = {"n_cross_validations": 4, "allowed_models": ("LogisticRegression", "RandomForest")}
    _, told = _search(tmp_path, iterations=5, **fields)
    (forest,) = [trial for trial in told if trial.algorithm == "RandomForest"]
    assert (forest.iteration, forest.status) == (1, RunStatus.CANCELED)
    found = _losses(tmp_path, prepare(columns(ROWS, 2), config(columns(ROWS, 2), **fields)))
    assert len(found[1]) == 1
    assert found[1][0] > USELESS_RATIO * found[0][0]


def test_a_trial_that_runs_over(tmp_path: Path) -> None:
    """A trial that takes longer than `iteration_timeout_minutes` is killed, and told with that reason; the next one begins."""
    fields = {"allowed_models": ("ExtremeRandomTrees", "RandomForest"), "iterations": 2, "iteration_timeout_minutes": 0.0005}
    found, told = _search(tmp_path, rows=20_000, n_cross_validations=2, **fields)
    assert [trial.algorithm for trial in told] == ["RandomForest", "ExtremeRandomTrees"]
    assert {(trial.status, trial.error) for trial in told} == {
        (RunStatus.CANCELED, "killed: over the iteration_timeout_minutes of 0.0005")
    }
    assert found.contenders == []
    assert found.errors[-1] == "ExtremeRandomTrees: over the iteration_timeout_minutes of 0.0005"


def test_a_killed_search_goes_on(tmp_path: Path) -> None:
    """After kill -9 in mid-search its processes are gone, and the next search fits only what is missing."""
    fields = {"iterations": 6, "n_cross_validations": 4, "allowed_models": ("LightGBM", "RandomForest")}
    script = BEGIN.format(rows=ROWS, fields=repr(fields))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE, text=True, env=environment)
    assert killed.stdout is not None
    before = [killed.stdout.readline().split() for _ in range(3)]
    family = psutil.Process(killed.pid).children(recursive=True)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
    killed.stdout.close()

    ended = {path: path.stat().st_mtime_ns for path in tmp_path.glob("trial-*/result.json")}
    assert ended
    _, told = _search(tmp_path, **fields)
    assert {path: path.stat().st_mtime_ns for path in ended} == ended
    after = {str(trial.iteration): (str(trial.status), repr(trial.score)) for trial in told}
    assert {number: after[number] for number, _, _ in before} == {number: (status, score) for number, status, score in before}
    assert sorted(after, key=int) == [str(number) for number in range(6)]


def test_a_trial_that_was_lost(tmp_path: Path) -> None:
    """One whose process died before a kill counts after it, and its reason is what is told where there is no other trial."""
    asked = config(columns(ROWS, 2), iterations=1)
    open_search_folder(tmp_path, prepare(columns(ROWS, 2), asked).fingerprint)
    write_end(tmp_path, EndedTrial(0, RunStatus.FAILED, "its process died"))
    found, told = _search(tmp_path, iterations=1)
    assert (found.contenders, told, found.errors) == ([], [], ["its process died"])


def test_another_table_begins_anew(tmp_path: Path) -> None:
    """What a search of the same table left stays, but for half-made refits; what one of another table left goes."""
    folder = tmp_path / "search"
    for fingerprint, left in (("one", []), ("one", ["trial-0000-0"]), ("two", [])):
        open_search_folder(folder, fingerprint)
        assert sorted(path.name for path in folder.glob("*")) == ["fingerprint", *left]
        for name in ("trial-0000-0", "refit-0000"):
            (folder / name).mkdir(exist_ok=True)


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    """Where a trial's result can't be written, the search ends with the disk's own error, and leaves no process."""
    asked = config(columns(ROWS, 2), n_cross_validations=2)
    open_search_folder(tmp_path, prepare(columns(ROWS, 2), asked).fingerprint)
    place = tmp_path / "trial-0000-1"
    place.mkdir()
    (place / "probabilities.npy").symlink_to("/dev/full")
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(OSError, match="No space left on device"):
        search(tmp_path, asked, [].append)
    assert set(psutil.Process().children(recursive=True)) <= before
