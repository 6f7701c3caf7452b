"""A completed AutoML run without its minutes: a real workspace, dataset, model and MLflow store, written by the real writer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import joblib
import pandas
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from bankmlops.local.datasets import Datasets
from bankmlops.local.training.automl_records import AutoMLRecords, Outcome, child_id
from bankmlops.local.training.automl_runs import AutoMLRuns
from bankmlops.local.training.mlflow_runs import Completion
from bankmlops.local.training.mlflow_writer import MLflowWriter
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import AutoMLConfig, ChildRun, Dataset, DataSource, Parity, RunStatus
from support.bundles import write_bundle

PARITY = Parity(1e-7, 0, 60)
EXAMPLE = {"age": 20, "job": "student"}


@dataclass(frozen=True)
class Trained:
    """A workspace with a completed run."""

    workspace: LocalWorkspace
    dataset: Dataset
    run_id: str

    @property
    def records(self) -> AutoMLRecords:
        return AutoMLRecords(self.workspace)

    @property
    def runs(self) -> AutoMLRuns:
        return AutoMLRuns(self.workspace, Datasets(self.workspace))

    def add_run(self, run_id: str) -> AutoMLConfig:
        """A run that has begun."""
        tags = {"team": "risk", "synthetic": "true"}
        config = AutoMLConfig(dataset=self.dataset, experiment_name="unit", experiment_timeout_minutes=0.1, tags=tags)
        self.records.add(run_id, config, tags)
        self.records.start(run_id)
        return config


def train(folder: Path) -> Trained:
    """A new workspace below `folder`, with a completed run in it."""
    workspace = LocalWorkspace(folder / "workspace")
    table = _table()
    table.to_csv(folder / "bank.csv", index=False)
    dataset = Datasets(workspace).register("bank", DataSource(folder / "bank.csv", synthetic=True), "y")
    trained = Trained(workspace, dataset, "AutoML_whole")
    trained.add_run(trained.run_id)
    _train(trained, table)
    return trained


def _table() -> pandas.DataFrame:
    numbers = range(60)
    return pandas.DataFrame(
        {
            "age": [20 + number % 50 for number in numbers],
            "job": [("student", "retired")[number % 2] for number in numbers],
            "y": [("no", "yes")[number % 50 > 20] for number in numbers],
        }
    )


def _train(trained: Trained, table: pandas.DataFrame) -> None:
    records, run_id = trained.records, trained.run_id
    writer = MLflowWriter(trained.workspace, run_id)
    winner = _child(run_id, 0, RunStatus.COMPLETED, 0.9)
    records.put_child(run_id, winner)
    records.put_child(run_id, _child(run_id, 1, RunStatus.FAILED, math.nan), "it blew up")
    outputs = _write_outputs(trained.runs.folder(run_id) / "outputs", table)
    names = writer.complete(outputs, Completion(winner, PARITY, EXAMPLE))
    records.complete(run_id, Outcome(winner, PARITY, names.run_id, names.model_id))


def _child(run_id: str, iteration: int, status: RunStatus, score: float) -> ChildRun:
    metrics = {"accuracy": score, "log_loss": 0.2} if status is RunStatus.COMPLETED else {}
    return ChildRun(child_id(run_id, iteration), iteration, "LogisticRegression", status, score, metrics, {"C": "1.0"}, 2.5)


def _write_outputs(outputs: Path, table: pandas.DataFrame) -> Path:
    columns = ColumnTransformer([("job", OneHotEncoder(), ["job"])], remainder="passthrough")
    pipeline = Pipeline([("datatransformer", columns), ("classifier", LogisticRegression(max_iter=1000))])
    pipeline.fit(table[["age", "job"]], table["y"])
    write_bundle(outputs / "bundle")
    joblib.dump(pipeline, outputs / "model.pkl")
    (outputs / "leaderboard.csv").write_text("iteration,algorithm\n0,LogisticRegression\n")
    (outputs / "plots").mkdir()
    (outputs / "plots" / "roc.json").write_text("{}")
    return outputs
