"""Trials and progress, read from the records that run history keeps."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bankmlops.azure.automl_runs import AutoMLRun
from bankmlops.azure.automl_trials import Trial, leaderboard, plain_metrics
from bankmlops.azure.progress import fraction_of, progress_of
from bankmlops.azure.run_records import RunRecord, status_of_word
from bankmlops.types import RunStatus

START = datetime(2026, 1, 1, tzinfo=UTC)


class _Metrics:
    """The one thing that a leaderboard asks of the SDK's run."""

    def __init__(self, **metrics: Any) -> None:
        self._metrics = metrics

    def get_metrics(self) -> dict[str, Any]:
        return self._metrics


def _record(run_id: str = "AutoML_1", status: RunStatus = RunStatus.RUNNING, **values: Any) -> RunRecord:
    given: dict[str, Any] = {"properties": {}, "tags": {}, "started": START, "ended": None, **values}
    return RunRecord(run_id, "", "contract", status, "automl", "", created=START, error="", **given)


def _trial(number: int, score: str, algorithm: str = "LightGBM", **metrics: Any) -> Trial:
    properties = {"iteration": str(number), "score": score, "run_algorithm": algorithm, "run_preprocessor": "MaxAbsScaler"}
    record = _record(f"AutoML_1_{number}", RunStatus.COMPLETED, properties=properties, ended=START + timedelta(seconds=5))
    return Trial(_Metrics(**metrics), record)


def test_the_leaderboard_is_sorted() -> None:
    """Best first, the earlier of two equals first, and what has no score last."""
    trials = [_trial(0, "0.8"), _trial(1, "nan"), _trial(2, "0.9", "VotingEnsemble"), _trial(3, "0.8"), _trial(4, "what?")]
    children = leaderboard(trials, "accuracy")
    assert [child.iteration for child in children] == [2, 0, 3, 1, 4]
    assert children[0].algorithm == "VotingEnsemble"
    assert children[0].seconds == 5
    assert children[0].parameters == {"preprocessor": "MaxAbsScaler"}


def test_of_equal_scores_the_lower_log_loss_leads() -> None:
    """It decides before who was earlier, as it does in the choice of the winner."""
    trials = [_trial(0, "0.9", log_loss=0.3), _trial(1, "0.9", "VotingEnsemble", log_loss=0.2), _trial(2, "0.9")]
    assert [child.iteration for child in leaderboard(trials, "accuracy")] == [1, 0, 2]


def test_a_metric_goes_before_a_property() -> None:
    """The score is the logged primary metric; the property stands in where nothing was logged."""
    children = leaderboard([_trial(0, "0.5", accuracy=0.7), _trial(1, "0.6")], "accuracy")
    assert [child.score for child in children] == [0.7, 0.6]


def test_metrics_are_plain_numbers() -> None:
    """Curves, matrices and texts are left out; of a list the newest value counts."""
    metrics = {
        "accuracy": 0.9,
        "log_loss": [0.5, 0.4],
        "n": 3,
        "ok": True,
        "roc": {"x": [1]},
        "word": "a",
        "none": None,
        "empty": [],
    }
    assert plain_metrics(metrics) == {"accuracy": 0.9, "log_loss": 0.4, "n": 3.0}


@pytest.mark.parametrize(
    ("specification", "parameters"),
    [
        ({"objects": [{"param_kwargs": {}}, {"param_kwargs": {"max_depth": 3}}]}, {"max_depth": "3"}),
        ({"objects": []}, {}),
        ({"objects": ["?"]}, {}),
        ([], {}),
    ],
)
def test_the_parameters(specification: object, parameters: dict[str, str]) -> None:
    """They come from Azure's description of the pipeline, where it is as it should be."""
    properties = {"iteration": "0", "score": "1", "pipeline_spec": json.dumps(specification)}
    trial = Trial(_Metrics(), _record("AutoML_1_0", RunStatus.COMPLETED, properties=properties))
    assert leaderboard([trial], "accuracy")[0].parameters == parameters


@pytest.mark.parametrize(
    ("tags", "best"), [({"automl_best_child_run_id": "AutoML_1_0"}, 0), ({"automl_best_child_run_id": "gone"}, 1), ({}, 1)]
)
def test_the_best_trial(tags: dict[str, str], best: int) -> None:
    """It is the one that Azure names, or the one with the best score."""
    run = AutoMLRun(None, _record(tags=tags), (_trial(0, "0.8"), _trial(1, "0.9"), _trial(2, "nan")))
    assert run.best is not None
    assert run.best.iteration == best


def test_no_trial_is_the_best() -> None:
    """Before the first trial has ended there is no best one."""
    assert AutoMLRun(None, _record(), ()).best is None


def test_progress_in_words() -> None:
    """The number of trials and the best score; before them Azure's own word."""
    record = _record(properties={"primary_metric": "accuracy"}, tags={"_aml_system_automl_status": "DatasetEvaluation"})
    assert progress_of(record, []) == "DatasetEvaluation"
    assert progress_of(record, [_trial(0, "0.91612"), _trial(1, "0.8")]) == "trial 2, best accuracy 0.9161"
    assert progress_of(record, [_trial(0, "nan")]) == "trial 1"
    assert progress_of(_record(), []) == "Running"


def test_progress_as_a_fraction() -> None:
    """The share of the budget that has passed: 0 before the start, 1 when it has completed, below 1 in between."""
    properties = {"AMLSettingsJsonString": json.dumps({"experiment_timeout_minutes": 20})}
    canceled = _record(status=RunStatus.CANCELED, properties=properties, ended=START + timedelta(minutes=5))
    assert fraction_of(canceled) == 0.25
    assert fraction_of(_record(properties=properties)) == 0.99
    assert fraction_of(_record(properties=properties, started=None)) == 0.0
    assert fraction_of(_record(properties={"AMLSettingsJsonString": "?"})) == 0.0
    assert fraction_of(_record(status=RunStatus.COMPLETED)) == 1.0
    assert not math.isnan(fraction_of(_record()))


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("Queued", RunStatus.NOT_STARTED),
        ("Starting", RunStatus.RUNNING),
        ("CancelRequested", RunStatus.RUNNING),
        ("Finalizing", RunStatus.RUNNING),
        ("Finished", RunStatus.COMPLETED),
        ("NotResponding", RunStatus.FAILED),
        ("Canceled", RunStatus.CANCELED),
        ("SomethingNew", RunStatus.RUNNING),
    ],
)
def test_azures_many_words_for_a_state(word: str, status: RunStatus) -> None:
    """Each is one of our five."""
    assert status_of_word(word) is status
