"""A served model is watched: its telemetry is asked, its inputs are compared, and files are scored with the same model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bankmlops import client
from bankmlops.batch import fetch_bundle, score_files
from bankmlops.features.profile import profile_of
from bankmlops.insights.drift import measure_drift
from bankmlops.insights.export import Exporter
from bankmlops.insights.otlp import Otlp
from bankmlops.insights.query import ask
from bankmlops.insights.sending import Sender
from bankmlops.insights.telemetry import open_telemetry
from bankmlops.local.backend import LocalBackend
from bankmlops.types import DeploymentConfig, Endpoint, Model
from support.bundles import specification
from support.telemetry_receiver import receiving
from support.trained import train
from support.waiting import wait_until

pytestmark = pytest.mark.slow
AGES = [20 + number % 50 for number in range(200)]
JOBS = ["student", "retired"] * 100
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ROWS: list[Mapping[str, object]] = [{"age": age, "job": job} for age, job in zip(AGES, JOBS, strict=True)]


@dataclass(frozen=True)
class Served:
    """A local workspace with an endpoint that collects."""

    backend: LocalBackend
    model: Model
    endpoint: Endpoint
    folder: Path

    def traced(self, traceparent: str) -> int:
        """The status of a request that has a place in its caller's trace."""
        key = self.backend.get_keys(self.endpoint.name).primary
        headers = {"Authorization": f"Bearer {key}", "traceparent": traceparent}
        return httpx.post(self.endpoint.scoring_uri, json={"data": ROWS[:2]}, headers=headers, trust_env=False).status_code

    def score(self, rows: list[Mapping[str, object]]) -> list[str]:
        key = self.backend.get_keys(self.endpoint.name).primary
        return list(client.score(self.endpoint.scoring_uri, key, rows))

    def recorded(self, requests: int) -> bool:
        """Whether so many are in both files."""
        files = self.backend.download_telemetry(self.endpoint.name, self.folder / "copied")
        return [path.read_text().count("\n") for path in files] == [requests, requests]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("watched")
    trained = train(folder)
    columns = {"age": numpy.array(AGES * 2), "job": numpy.array(JOBS * 2, dtype=object)}
    bundle = trained.runs.folder(trained.run_id) / "outputs" / "bundle"
    (bundle / "profile.json").write_text(profile_of(specification(), columns).to_json())
    backend = LocalBackend(trained.workspace.folder)
    model = backend.register_model(trained.run_id, "bank")
    endpoint = backend.deploy_model(model, DeploymentConfig("bank-endpoint", app_insights=True, collect_model_data=True))
    yield Served(backend, model, endpoint, folder)
    backend.delete_endpoint("bank-endpoint")


def test_a_watched_endpoint(served: Served) -> None:
    """Inputs like the training's are stable; when older people come as well the column of ages has drifted, and no other."""
    labels = served.score(ROWS)
    wait_until(lambda: served.recorded(1))
    stable = measure_drift(served.backend, served.endpoint)
    assert (stable.rows, stable.drifted) == (200, ())
    served.score([{"age": 88, "job": job} for job in JOBS])
    wait_until(lambda: served.recorded(2))
    assert measure_drift(served.backend, served.endpoint).drifted == ("age",)
    with open_telemetry(served.backend, "bank-endpoint") as connection:
        sql = "SELECT name, resultCode, customMeasurements.rows AS rows FROM requests"
        assert ask(connection, sql).rows == (("POST /score", "200", 200),) * 2
        assert ask(connection, "SELECT count(*) > 0 FROM traces").rows == ((True,),)
    _check_export(served)
    pq.write_table(pa.table({"age": AGES, "job": JOBS}), served.folder / "rows.parquet")
    score_files(fetch_bundle(served.backend, served.model), served.folder / "rows.parquet", served.folder / "out.parquet")
    assert pq.read_table(served.folder / "out.parquet").column("prediction").to_pylist() == labels


def _check_export(served: Served) -> None:
    """What it recorded arrives as spans, and what it records next as well, in its caller's trace where it has one."""
    with receiving() as receiver, httpx.Client(trust_env=False) as client:
        destination = Otlp.at(receiver.url)
        exporter = Exporter(served.backend, "bank-endpoint", destination, Sender(destination, client), served.folder / "exported")
        assert exporter.export().sent == 2
        assert served.traced(TRACE) == 200
        wait_until(lambda: served.recorded(3))
        assert exporter.export().sent == 1
        spans = receiver.spans()
    assert [span.name for span in spans] == ["POST /score"] * 3
    assert (spans[2].trace_id.hex(), spans[2].parent_span_id.hex()) == (TRACE[3:35], TRACE[36:52])
