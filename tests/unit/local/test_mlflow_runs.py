"""An AutoML run as MLflow's own client sees it."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bankmlops.errors import BackendUnavailableError
from bankmlops.local.datasets import Datasets
from bankmlops.local.training import mlflow_runs
from bankmlops.local.training.mlflow_runs import Completion, MLflowRun
from bankmlops.local.training.mlflow_store import open_store
from bankmlops.local.training.mlflow_writer import Ending, MLflowWriter
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import Parity, RunStatus

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from support.trained import Trained

pytestmark = pytest.mark.slow
AT_ONCE = 8


@pytest.fixture(scope="module")
def client(trained: Trained) -> MlflowClient:
    return open_store(trained.workspace)


@pytest.fixture(scope="module")
def parent(trained: Trained, client: MlflowClient) -> Run:
    return client.get_run(trained.records.read(trained.run_id).mlflow_run_id)


def _of(client: MlflowClient, run_id: str) -> list[Run]:
    """The parent and the trials of an AutoML run."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, filter_string=f"tags.`bankmlops.run_id` = '{run_id}'"))


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_parent_run(trained: Trained, parent: Run) -> None:
    """It bears the run's name, configuration, metrics, tags and parity, and says that its data is synthetic."""
    assert (parent.info.run_name, parent.info.status) == (trained.run_id, "FINISHED")
    assert parent.data.params["primary_metric"] == "accuracy"
    assert parent.data.params["experiment_timeout_minutes"] == "0.1"
    assert parent.data.metrics == {"accuracy": 0.9, "log_loss": 0.2}
    tags = parent.data.tags
    assert (tags["algorithm"], tags["team"], tags["synthetic"]) == ("LogisticRegression", "risk", "true")
    assert (tags["best_child_id"], tags["parity.rows"]) == (f"{trained.run_id}_0", "60")
    assert "SYNTHETIC" in tags["mlflow.note.content"]


def test_many_begin_at_once(trained: Trained) -> None:
    """Runs on the same data that begin in the same moment of a new experiment all find their place in the store."""
    record = trained.records.read(trained.run_id)
    of_its_own = {"run": replace(record.run, id="AutoML_at_once"), "config": replace(record.config, experiment_name="at-once")}
    record = replace(record, **of_its_own)
    start = threading.Barrier(AT_ONCE)

    def begin(_: int) -> MLflowRun:
        start.wait(60)
        return MLflowRun(trained.workspace, record, Datasets(trained.workspace))

    with ThreadPoolExecutor(AT_ONCE) as threads:
        for run in list(threads.map(begin, range(AT_ONCE))):
            run.end(RunStatus.CANCELED, "")


def test_a_nested_run_for_each_trial(trained: Trained, client: MlflowClient, parent: Run) -> None:
    """A trial has its parameters, metrics and its own times; a failed one says why."""
    trials = [run for run in _of(client, trained.run_id) if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    by_iteration = {run.data.tags["iteration"]: run for run in trials}
    assert sorted(by_iteration) == ["0", "1"]
    good, bad = by_iteration["0"], by_iteration["1"]
    assert (good.info.status, good.data.params, good.data.metrics["accuracy"]) == ("FINISHED", {"C": "1.0"}, 0.9)
    assert good.data.tags["algorithm"] == "LogisticRegression"
    assert good.info.end_time - good.info.start_time == 2500
    assert (bad.info.status, bad.data.tags["error"], bad.data.metrics) == ("FAILED", "it blew up", {})


def test_the_dataset_is_an_input(trained: Trained, parent: Run) -> None:
    """The registered version is named, with its hash, its schema and its size."""
    (given,) = parent.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("bank", trained.dataset.version)
    assert json.loads(given.dataset.source)["sha256"] == trained.dataset.sha256
    assert json.loads(given.dataset.profile) == {"num_rows": 60, "num_elements": 180}
    columns = {column["name"]: column["type"] for column in json.loads(given.dataset.schema)["mlflow_colspec"]}
    assert columns == {"age": "long", "job": "string", "y": "string"}
    assert {tag.key: tag.value for tag in given.tags}["mlflow.data.context"] == "training"


def test_the_files_are_artifacts(client: MlflowClient, parent: Run) -> None:
    """Every file of the outputs is there, but for the bundle and the model, which are kept as such."""
    found = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert found == {"leaderboard.csv", "plots"}
    assert [file.path for file in client.list_artifacts(parent.info.run_id, "plots")] == ["plots/roc.json"]


def test_the_model(trained: Trained, client: MlflowClient, parent: Run) -> None:
    """The logged model belongs to the run, has a signature and an example, and predicts as it was trained."""
    import mlflow.sklearn
    import pandas

    logged = client.get_logged_model(trained.records.read(trained.run_id).mlflow_model_id)
    assert (logged.source_run_id, logged.status, logged.tags["algorithm"]) == (parent.info.run_id, "READY", "LogisticRegression")
    assert [output.model_id for output in parent.outputs.model_outputs] == [logged.model_id]
    assert {metric.key: metric.value for metric in logged.metrics}["accuracy"] == 0.9
    folder = logged.artifact_location.removeprefix("file://")
    described = mlflow.models.Model.load(folder)
    assert described.signature.inputs.input_names() == ["age", "job"]
    assert described.signature.outputs.input_names() == ["y"]
    assert described.saved_input_example_info is not None
    model = mlflow.sklearn.load_model(folder)
    assert list(model.predict(pandas.DataFrame([{"age": 20, "job": "student"}, {"age": 65, "job": "retired"}]))) == ["no", "yes"]


def test_the_model_is_private(trained: Trained, client: MlflowClient) -> None:
    """What the writer writes is its owner's alone."""
    logged = client.get_logged_model(trained.records.read(trained.run_id).mlflow_model_id)
    folder = Path(logged.artifact_location.removeprefix("file://"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder / "MLmodel", folder / "model.pkl")} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_run_without_a_winner(trained: Trained, client: MlflowClient) -> None:
    """It ends as it ended, with its reason."""
    trained.add_run("AutoML_without")
    MLflowWriter(trained.workspace, "AutoML_without").end(Ending(RunStatus.CANCELED, "it was asked to end"))
    (run,) = _of(client, "AutoML_without")
    assert (run.info.status, run.data.tags["error"]) == ("KILLED", "it was asked to end")


def test_the_trainers_death_ends_the_run(trained: Trained, client: MlflowClient) -> None:
    """A writer whose trainer is gone ends the run as failed, and ends itself."""
    trained.add_run("AutoML_orphan")
    command = [sys.executable, "-m", "bankmlops.local.training.mlflow_writer", str(trained.workspace.folder), "AutoML_orphan"]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=120)
    (run,) = _of(client, "AutoML_orphan")
    assert (run.info.status, run.data.tags["error"]) == ("FAILED", "the training process died")


def test_close(trained: Trained, client: MlflowClient) -> None:
    """What was running when a run's processes were killed is ended in MLflow, and nothing else is."""
    trained.add_run("AutoML_killed")
    writer = MLflowWriter(trained.workspace, "AutoML_killed")
    _until(lambda: len(_of(client, "AutoML_killed")) == 1)
    writer.kill()
    mlflow_runs.close(trained.workspace, "AutoML_killed", RunStatus.CANCELED)
    mlflow_runs.close(trained.workspace, "AutoML_killed", RunStatus.FAILED)
    assert [run.info.status for run in _of(client, "AutoML_killed")] == ["KILLED"]
    assert {run.info.status for run in _of(client, trained.run_id)} == {"FINISHED", "FAILED"}


def test_a_store_that_refuses(trained: Trained, tmp_path: Path) -> None:
    """A store that can't be read is one line for the trainer, as soon as it looks."""
    refusing = replace(trained, workspace=LocalWorkspace(tmp_path / "workspace"))
    refusing.add_run("AutoML_refused")
    (refusing.workspace.folder / "mlflow" / "mlflow.db").write_bytes(b"no database at all" * 500)
    writer = MLflowWriter(refusing.workspace, "AutoML_refused")
    with pytest.raises(BackendUnavailableError, match=r"MLflow store .* refused: ") as refusal:
        _check_for_a_while(writer)
    assert "\n" not in str(refusal.value)


def _check_for_a_while(writer: MLflowWriter) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        writer.check()
        time.sleep(0.1)


def test_a_model_that_can_not_be_read(trained: Trained, client: MlflowClient, tmp_path: Path) -> None:
    """A fault in the middle of logging is an internal error for the trainer, and MLflow knows that the run failed."""
    trained.add_run("AutoML_faulty")
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "model.pkl").write_bytes(b"no pickle")
    winner = trained.records.children(trained.run_id)[0]
    writer = MLflowWriter(trained.workspace, "AutoML_faulty")
    with pytest.raises(RuntimeError, match="the MLflow writer ended"):
        writer.complete(tmp_path / "outputs", Completion(winner, Parity(0.0, 0, 60), {"age": 20, "job": "student"}))
    (run,) = _of(client, "AutoML_faulty")
    assert run.info.status == "FAILED"
