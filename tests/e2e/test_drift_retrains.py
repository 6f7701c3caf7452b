"""Drift starts a retraining by itself: traffic on a served endpoint, the report, the trigger over REST, a model of new rows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bankmlops import client
from bankmlops.cli.application import run
from bankmlops.cli.exits import DRIFTED
from bankmlops.datasets import read_table, synthesize
from bankmlops.local.backend import LocalBackend
from bankmlops.pipelines import Pipeline, PipelineBuilder
from bankmlops.runs import wait
from bankmlops.types import AutoMLConfig, DataSource, DeploymentConfig, Endpoint, RunStatus
from support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.long]
ROWS, MINUTES, DEADLINE_SECONDS = 1200, 0.2, 240


@dataclass(frozen=True)
class Served:
    """A workspace with an endpoint whose model was trained on the dataset `bank`, and a published pipeline that trains more."""

    backend: LocalBackend
    endpoint: Endpoint
    rows: Sequence[Mapping[str, object]]
    folder: Path

    def ask(self, rows: Sequence[Mapping[str, object]], before: int) -> None:
        """Score the rows, and wait until all of them and those `before` are in the endpoint's records."""
        client.score(self.endpoint.scoring_uri, self.backend.get_keys(self.endpoint.name).primary, rows)
        wait_until(lambda: self._collected() >= before + len(rows))

    def _collected(self) -> int:
        copied = self.folder / "copied" / str(time.monotonic_ns())
        self.backend.download_telemetry(self.endpoint.name, copied)
        return sum(file.read_text().count('"age"') for file in copied.rglob("collected*.jsonl"))

    def monitor(self) -> int:
        """The exit code of the command that a person schedules."""
        words = ["monitor", self.endpoint.name, "--retrain", "bank-training", "--data", "bank", "--data-parameter", "dataset"]
        return run([*words, "--workspace", str(self.folder / "workspace")])


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    backend = LocalBackend(tmp_path / "workspace")
    synthesize(tmp_path / "bank.csv", ROWS, 7)
    dataset = backend.register_dataset("bank", DataSource(tmp_path / "bank.csv", synthetic=True), "y")
    config = AutoMLConfig(dataset, experiment_timeout_minutes=MINUTES, iterations=2, allowed_models=("LightGBM",))
    trained = wait(backend.get_run, backend.submit_automl(config).id, timeout_seconds=DEADLINE_SECONDS)
    assert trained.status is RunStatus.COMPLETED, trained.error
    model = backend.register_model(trained.id, "bank")
    endpoint = backend.deploy_model(model, DeploymentConfig("bank-endpoint", collect_model_data=True))
    try:
        backend.up()
        backend.publish_pipeline(_training(), "1")
        rows = read_table(tmp_path / "bank.csv").drop(["y"]).to_pylist()
        yield Served(backend, endpoint, rows, tmp_path)
    finally:
        backend.down()
        backend.delete_endpoint(endpoint.name)


def _training() -> Pipeline:
    flow = PipelineBuilder("bank-training")
    data = flow.prepare(flow.parameter("dataset", "bank"))
    trained = flow.automl(data, experiment_timeout_minutes=MINUTES, iterations=2, allowed_models=["LightGBM"])
    flow.register(trained, "bank")
    return flow.build()


def test_drift_starts_a_retraining(served: Served, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Traffic as in training starts nothing, nor does drift without newer rows; with them it starts one run, however often it
    is looked at, another where that one was canceled, and then there is a model that was trained on the newer rows."""
    backend = served.backend
    served.ask(served.rows[:300], 0)
    assert served.monitor() == 0
    assert not backend.list_pipeline_runs()
    served.ask([{**row, "age": 90, "job": "student"} for row in served.rows[:900]], 300)
    assert served.monitor() == DRIFTED
    assert "is not retrained: bank-training, version 1, would train on bank:" in capsys.readouterr().err
    assert not backend.list_pipeline_runs()

    before = backend.get_dataset("bank")
    synthesize(tmp_path / "newer.csv", ROWS, 8)
    newer = backend.register_dataset("bank", DataSource(tmp_path / "newer.csv", synthetic=True), "y")
    assert served.monitor() == DRIFTED
    (canceled,) = backend.list_pipeline_runs()
    assert f"is retrained by run {canceled.id}" in capsys.readouterr().err
    backend.cancel_pipeline_run(canceled.id)
    assert served.monitor() == DRIFTED
    said = capsys.readouterr().err
    started = next(each for each in backend.list_pipeline_runs() if each.id != canceled.id)
    assert f"run {canceled.id} of bank-training, version 1, is Canceled" in said
    assert f"is retrained by run {started.id}" in said
    assert served.monitor() == DRIFTED
    ended = wait(backend.get_pipeline_run, started.id, timeout_seconds=DEADLINE_SECONDS)
    assert ended.status is RunStatus.COMPLETED
    assert len(backend.list_pipeline_runs()) == 2
    retrained = backend.get_model("bank")
    assert retrained.version == "2"
    assert backend.get_run(retrained.run_id).dataset == f"bank:{newer.version}" != f"bank:{before.version}"
