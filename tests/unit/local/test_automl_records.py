"""AutoML runs and trials as rows: what is written is read, and a final status stays."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bankmlops.errors import NotFoundError
from bankmlops.local.processes import ProcessIdentity
from bankmlops.local.training.automl_records import AutoMLRecords, Outcome, child_id
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import AutoMLConfig, ChildRun, Dataset, Parity, RunStatus

DATASET = Dataset("bank", "abc", 100, ("age", "y"), "y", "abc" * 20, synthetic=True, created=datetime(2026, 1, 2, tzinfo=UTC))
CONFIG = AutoMLConfig(dataset=DATASET, allowed_models=("LightGBM",), tags={"team": "risk"})


@pytest.fixture
def records(tmp_path: Path) -> AutoMLRecords:
    records = AutoMLRecords(LocalWorkspace(tmp_path / "workspace"))
    records.add("AutoML_1", CONFIG, {"team": "risk"})
    return records


def _child(iteration: int, score: float, status: RunStatus = RunStatus.COMPLETED) -> ChildRun:
    identity = child_id("AutoML_1", iteration)
    return ChildRun(identity, iteration, "LightGBM", status, score, {"accuracy": score}, {"n_estimators": "9"}, 1.5)


def test_a_new_run(records: AutoMLRecords) -> None:
    """A run that was added has not started, and its configuration is as it was given."""
    record = records.read("AutoML_1")
    assert record.config == CONFIG
    assert (record.run.status, record.run.started, record.run.trials) == (RunStatus.NOT_STARTED, None, 0)
    assert dict(record.run.tags) == {"team": "risk"}
    assert record.parity is None


def test_runs_by_their_tags(records: AutoMLRecords) -> None:
    """However many runs are newer, one that bears the tags is found; of several the newest come first, up to the limit."""
    for number in range(2, 105):
        records.add(f"AutoML_{number}", CONFIG, {"team": "risk" if number % 50 == 0 else "other", "step": "train"})
    assert [record.run.id for record in records.newest(10, {"team": "risk"})] == ["AutoML_100", "AutoML_50", "AutoML_1"]
    assert [record.run.id for record in records.newest(1, {"team": "risk", "step": "train"})] == ["AutoML_100"]
    assert records.newest(10, {"team": "train"}) == ()
    assert len(records.newest(1000)) == 104


def test_a_run_completes(records: AutoMLRecords) -> None:
    """A completed run has its winner's metrics, its parity, both times, and counts its trials."""
    assert records.start("AutoML_1")
    records.set_progress("AutoML_1", 0.4, "trial 1")
    records.put_child("AutoML_1", _child(0, 0.8))
    assert records.read("AutoML_1").run.progress == "trial 1"
    assert records.complete("AutoML_1", Outcome(_child(0, 0.8), Parity(1e-7, 1, 90), "run", "model"))
    record = records.read("AutoML_1")
    run = record.run
    assert (run.status, run.best_algorithm, run.best_child_id) == (RunStatus.COMPLETED, "LightGBM", "AutoML_1_0")
    assert (dict(run.metrics), run.trials, run.fraction) == ({"accuracy": 0.8}, 1, 1.0)
    assert run.started is not None
    assert run.ended is not None
    assert 0 < run.seconds < 60
    assert (record.parity, record.mlflow_run_id, record.mlflow_model_id) == (Parity(1e-7, 1, 90), "run", "model")


@pytest.mark.parametrize("first", [RunStatus.CANCELED, RunStatus.FAILED])
def test_a_final_status_stays(records: AutoMLRecords, first: RunStatus) -> None:
    """Whoever comes second changes nothing."""
    assert records.end("AutoML_1", first, "why")
    assert not records.complete("AutoML_1", Outcome(_child(0, 0.8), Parity(0, 0, 9), "run", "model"))
    assert not records.end("AutoML_1", RunStatus.FAILED, "another reason")
    assert not records.start("AutoML_1")
    records.set_progress("AutoML_1", 0.9, "too late")
    run = records.read("AutoML_1").run
    assert (run.status, run.error, run.best_algorithm, run.progress) == (first, "why", "", "")


def test_a_run_is_opened_again(records: AutoMLRecords) -> None:
    """Only a canceled or failed run is; it keeps its trials and its share of the budget, and not its ensemble or its error."""
    assert not records.reopen("AutoML_1")
    records.set_progress("AutoML_1", 0.4, "trial 1")
    records.put_child("AutoML_1", _child(0, 0.8))
    records.put_child("AutoML_1", replace(_child(1, 0.9), algorithm="VotingEnsemble"))
    records.end("AutoML_1", RunStatus.FAILED, "killed")
    assert records.reopen("AutoML_1")
    run = records.read("AutoML_1").run
    assert (run.status, run.error, run.ended, run.fraction) == (RunStatus.NOT_STARTED, "", None, 0.4)
    assert records.children("AutoML_1") == (_child(0, 0.8),)


@pytest.mark.parametrize("status", [RunStatus.COMPLETED, RunStatus.RUNNING])
def test_a_run_that_is_not_opened_again(records: AutoMLRecords, status: RunStatus) -> None:
    """One that completed, or still runs, keeps its leaderboard as it is, the ensemble included."""
    winner = replace(_child(1, 0.9), algorithm="VotingEnsemble")
    records.start("AutoML_1")
    records.put_child("AutoML_1", _child(0, 0.8))
    records.put_child("AutoML_1", winner)
    if status is RunStatus.COMPLETED:
        records.complete("AutoML_1", Outcome(winner, Parity(0, 0, 9), "run", "model"))
    assert not records.reopen("AutoML_1")
    assert records.read("AutoML_1").run.status is status
    assert records.children("AutoML_1") == (winner, _child(0, 0.8))


def test_the_leaderboard_is_best_first(records: AutoMLRecords) -> None:
    """Completed trials come best first, an equal score in the order of trial; failed ones are counted and not shown."""
    for iteration, score in enumerate((0.7, 0.9, 0.9, 0.8)):
        records.put_child("AutoML_1", _child(iteration, score))
    records.put_child("AutoML_1", _child(4, math.nan, RunStatus.FAILED), "it blew up")
    children = records.children("AutoML_1")
    assert [child.iteration for child in children] == [1, 2, 3, 0]
    assert children[0] == _child(1, 0.9)
    assert records.read("AutoML_1").run.trials == 5


def test_of_equal_scores_the_lower_log_loss_leads(records: AutoMLRecords) -> None:
    """As the winner is chosen: an ensemble with the best trial's score and a lower log loss goes before it."""
    for iteration, loss in enumerate((0.3, 0.2, 0.25)):
        records.put_child("AutoML_1", replace(_child(iteration, 0.9), metrics={"accuracy": 0.9, "log_loss": loss}))
    records.put_child("AutoML_1", _child(3, 0.9))
    assert [child.iteration for child in records.children("AutoML_1")] == [1, 2, 0, 3]


def test_a_loss_is_best_where_it_is_small(records: AutoMLRecords) -> None:
    """By log_loss the smallest score leads."""
    records.add("AutoML_2", AutoMLConfig(dataset=DATASET, primary_metric="log_loss"), {})
    for iteration, score in enumerate((0.3, 0.1, 0.2)):
        records.put_child("AutoML_2", _child(iteration, score))
    assert [child.score for child in records.children("AutoML_2")] == [0.1, 0.2, 0.3]


def test_trials_are_told_in_order(records: AutoMLRecords) -> None:
    """A reader that comes again gets what is new, failed trials with their reason; a trial told twice is one."""
    records.put_child("AutoML_1", _child(1, 0.8))
    records.put_child("AutoML_1", _child(0, math.nan, RunStatus.FAILED), "it blew up")
    first, second = records.trials_after("AutoML_1", 0)
    assert (first.child, first.error) == (_child(1, 0.8), "")
    assert (second.child.iteration, second.error) == (0, "it blew up")
    assert math.isnan(second.child.score)
    assert (datetime.now(UTC) - second.ended).total_seconds() < 60
    records.put_child("AutoML_1", _child(1, 0.1))
    assert records.trials_after("AutoML_1", second.number) == ()
    records.put_child("AutoML_1", _child(2, 0.9))
    assert [trial.child.iteration for trial in records.trials_after("AutoML_1", second.number)] == [2]


def test_the_newest_first(records: AutoMLRecords) -> None:
    """Runs are listed newest first, as many as asked for."""
    for number in range(2, 6):
        records.add(f"AutoML_{number}", CONFIG, {})
    assert [record.run.id for record in records.newest(3)] == ["AutoML_5", "AutoML_4", "AutoML_3"]


def test_a_run_that_could_not_start_is_forgotten(records: AutoMLRecords) -> None:
    """A removed run is not there, and says so by its name."""
    records.remove("AutoML_1")
    with pytest.raises(NotFoundError, match="'AutoML_1'"):
        records.read("AutoML_1")


def test_the_process_is_remembered(records: AutoMLRecords) -> None:
    """Who works on a run is known to every process."""
    records.set_process("AutoML_1", ProcessIdentity(7, 12.25))
    assert records.read("AutoML_1").process == ProcessIdentity(7, 12.25)
