"""Drift starts a retraining by itself: traffic on a served endpoint, the report, the trigger over REST, and the new model."""

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
from bankmlops.runs import wait
from bankmlops.types import AutoMLConfig, DataSource, DeploymentConfig, Endpoint, PipelineConfig, RunStatus
from support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.long]
ROWS, MINUTES, DEADLINE_SECONDS = 1200, 0.2, 240


@dataclass(frozen=True)
class Served:
    """A workspace with an endpoint whose model was trained on `rows`, and a published pipeline that trains another one."""

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
        words = ["monitor", self.endpoint.name, "--retrain", "bank-training"]
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
        backend.publish_pipeline(PipelineConfig("bank-training", config, "bank"), "1")
        rows = read_table(tmp_path / "bank.csv").drop(["y"]).to_pylist()
        yield Served(backend, endpoint, rows, tmp_path)
    finally:
        backend.down()
        backend.delete_endpoint(endpoint.name)


def test_drift_starts_a_retraining(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """Traffic as in training starts nothing; drifted traffic starts one run, however often it is looked at, and a new model."""
    served.ask(served.rows[:300], 0)
    assert served.monitor() == 0
    assert not served.backend.list_pipeline_runs()
    served.ask([{**row, "age": 90, "job": "student"} for row in served.rows[:900]], 300)
    assert served.monitor() == DRIFTED
    (started,) = served.backend.list_pipeline_runs()
    assert started.id in capsys.readouterr().err
    assert served.monitor() == DRIFTED
    ended = wait(served.backend.get_pipeline_run, started.id, timeout_seconds=DEADLINE_SECONDS)
    assert ended.status is RunStatus.COMPLETED
    assert [each.id for each in served.backend.list_pipeline_runs()] == [started.id]
    assert served.backend.get_model("bank").version == "2"
