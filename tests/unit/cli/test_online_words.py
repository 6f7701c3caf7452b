"""`bankmlops feedback`, `online` and `monitor --retrain`: words to calls, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy
import pytest

from bankmlops.features.profile import profile_of
from bankmlops.types import (
    Dataset,
    Endpoint,
    EndpointState,
    LabelledRow,
    Outcome,
    PipelineRun,
    PublishedPipeline,
    Run,
    RunStatus,
)
from support.bundles import specification
from support.http_server import Answer, Asked, LocalServer, serving
from support.memory_backend import STARTED, MemoryBackend
from support.run_files import RunFiles

Command = Callable[..., Any]
ENDPOINT = Endpoint("bank-endpoint", EndpointState.HEALTHY, "http://x/score", "", "process", "bank", "2")


@pytest.fixture
def served(backend: MemoryBackend) -> MemoryBackend:
    backend.endpoints["bank-endpoint"] = ENDPOINT
    return backend


def test_import(command: Command, served: MemoryBackend) -> None:
    """The id, the row and the label go to the backend; numbers and truths are labels as a model's classes are written."""
    Path("o.csv").write_text("request_id,time,row,paid\na,2026-01-01,0,1\nb,2026-01-02,3,0\n")
    done = command("feedback", "import", "o.csv", "--endpoint", "bank-endpoint", "--json")
    assert done.code == 0, done.err
    assert done.document == {"stored": 2, "repeated": 0, "refused": 0, "refusals": []}
    assert served.calls == [(Outcome("a", "1"), Outcome("b", "0", 3))]


def test_import_of_much(command: Command, served: MemoryBackend) -> None:
    """A long file goes in parts, and a refusal names the row of the file; the code is that of wrong input."""
    ids = [f"id-{number}" for number in range(10_050)]
    ids[10_020] = "nobody"
    Path("o.csv").write_text("request_id,y\n" + "".join(f"{name},yes\n" for name in ids))
    done = command("feedback", "import", "o.csv", "--endpoint", "bank-endpoint")
    assert (done.code, done.out) == (2, "10,049 labels stored, 0 were there already, 1 refused\n")
    assert done.errors == ["o.csv, row 10021: request 'nobody': the endpoint has collected no such row"]
    assert [len(call) for call in served.calls] == [10_000, 50]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,y\na,yes\n", "no column 'request_id'"),
        ("request_id\na\n", "no column 'y'"),
        ("request_id,row,y\na,first,yes\n", "whole numbers"),
    ],
)
def test_import_of_something_else(command: Command, served: MemoryBackend, text: str, message: str) -> None:
    """A file that holds no labels is refused in one line, and nothing is sent."""
    Path("o.csv").write_text(text)
    done = command("feedback", "import", "o.csv", "--endpoint", "bank-endpoint")
    assert (done.code, len(done.errors)) == (2, 1)
    assert message in done.err
    assert served.calls == []


def test_list(command: Command, served: MemoryBackend) -> None:
    """Labelled rows are shown from any place on."""
    served.labelled = [
        LabelledRow(number, f"id-{number}", 0, "2026-01-01", "2026-01-02", "bank:2", {"age": 20}, "no", "yes")
        for number in (1, 2)
    ]
    done = command("feedback", "list", "--endpoint", "bank-endpoint", "--after", 1, "--json")
    assert [row["number"] for row in done.document] == [2]
    assert "id-1" in command("feedback", "list", "--endpoint", "bank-endpoint").out
    assert command("feedback", "list", "--endpoint", "nobody").code == 3


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("run", "bank"), 2, "name the stream"),
        (("run", "bank", "--endpoint", "bank-endpoint", "--rows", "x.csv"), 2, "name the stream"),
        (("run", "../bank", "--endpoint", "bank-endpoint"), 2, "no label has come back"),
        (("run", "bank", "--endpoint", "bank-endpoint"), 2, "no label has come back"),
        (("run", "bank", "--endpoint", "nobody"), 3, "nobody"),
        (("status", "bank"), 3, "no finished online run"),
        (("status", "../bank"), 2, "online run name"),
        (("promote", "bank", "--model", "bank"), 3, "no finished online run"),
    ],
)
def test_online_that_can_not_be(command: Command, served: MemoryBackend, words: tuple[str, ...], code: int, message: str) -> None:
    """Wrong words end in one line, and leave no folder."""
    done = command("online", *words)
    assert (done.code, len(done.errors)) == (code, 1)
    assert message in done.err
    assert not Path(".bankmlops").exists()


class Drifting(RunFiles):
    """An endpoint whose ages have moved, and a published pipeline; `versions` are those of the dataset that was registered."""

    def __init__(self, folder: Path, url: str) -> None:
        columns = {"age": numpy.arange(400) % 50 + 20, "job": numpy.array(["student", "retired"] * 200, dtype=object)}
        (folder / "profile.json").write_text(profile_of(specification(), columns).to_json())
        super().__init__(folder)
        self.pipelines = [PublishedPipeline("p-1", "bank-training", "1", f"{url}/submit", dataset="bank")]
        self.collected = folder / "collected.jsonl"
        self.telemetry = [self.collected]
        self.serve("2")
        self.versions = 2
        self.ended: dict[str, RunStatus] = {}

    def serve(self, version: str) -> None:
        """Have this version of the model be the one that drifts; it was trained on version 1 of the data."""
        self.endpoints["bank-endpoint"] = replace(ENDPOINT, model_version=version)
        rows = [{"age": 60 + number % 50, "job": ("student", "retired")[number % 2]} for number in range(200)]
        record = {"timestamp": "2026-01-01T00:00:00Z", "model": f"bank:{version}", "rows": rows}
        self.collected.write_text(json.dumps(record) + "\n")

    def get_run(self, run_id: str) -> Run:
        return replace(super().get_run(run_id), dataset="bank:1")

    def get_dataset(self, name: str, version: str | None = None) -> Dataset:
        found = super().get_dataset(name, version or str(self.versions))
        return replace(found, created=STARTED + timedelta(days=int(found.version)))

    def get_pipeline_run(self, run_id: str) -> PipelineRun:
        status = self.ended.get(run_id, RunStatus.RUNNING)
        return PipelineRun(run_id, "drift", status, error="no space" if status is RunStatus.FAILED else "")


@pytest.fixture
def triggers() -> Iterator[LocalServer]:
    """The REST endpoint of a published pipeline, which answers one run for each key, as the control server does."""
    runs: dict[str, str] = {}

    def answer(asked: Asked) -> Answer:
        return Answer({"Id": runs.setdefault(asked.headers["idempotency-key"], f"run-{len(runs) + 1}")})

    with serving(answer) as server:
        yield server


@pytest.fixture
def drifting(triggers: LocalServer, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Drifting:
    drifting = Drifting(tmp_path_factory.mktemp("drifting"), triggers.url)
    monkeypatch.setattr("bankmlops.connect.connect", lambda _name, _workspace: drifting)
    return drifting


RETRAIN = ("monitor", "bank-endpoint", "--retrain", "bank-training")


def test_drift_retrains(command: Command, drifting: Drifting, triggers: LocalServer) -> None:
    """A drift triggers the pipeline, once for the same model and data; without one nothing is triggered."""
    for _ in range(2):
        done = command(*RETRAIN)
        assert done.code == 8
        assert done.errors[-1] == "model bank:2 is retrained by run run-1 of bank-training, version 1"
    drifting.ended["run-1"] = RunStatus.COMPLETED
    assert command(*RETRAIN).errors[-1] == "model bank:2 was retrained by run run-1 of bank-training, version 1"
    assert command(*RETRAIN, "--threshold", 1000).code == 0
    assert command("monitor", "bank-endpoint", "--retrain", "nothing").code == 3
    drifting.serve("3")
    assert "by run run-2 of" in command(*RETRAIN).errors[-1]
    drifting.versions = 3
    assert "by run run-3 of" in command(*RETRAIN).errors[-1]
    assert {asked.document["ExperimentName"] for asked in triggers.asked} == {"drift-of-bank-endpoint"}


def test_a_retraining_that_ended_badly(command: Command, drifting: Drifting, triggers: LocalServer) -> None:
    """It is told of and tried again under another key, a number of times."""
    command(*RETRAIN)
    drifting.ended["run-1"] = RunStatus.FAILED
    drifting.ended["run-2"] = RunStatus.CANCELED
    done = command(*RETRAIN)
    assert done.code == 8
    assert done.errors[-3:] == [
        "attempt 1 to retrain model bank:2, run run-1 of bank-training, version 1, is Failed: no space",
        "attempt 2 to retrain model bank:2, run run-2 of bank-training, version 1, is Canceled",
        "model bank:2 is retrained by run run-3 of bank-training, version 1",
    ]
    drifting.ended |= {f"run-{number}": RunStatus.FAILED for number in range(1, 99)}
    assert command(*RETRAIN).errors[-1] == "model bank:2 is not retrained again: 10 attempts ended badly"
    assert len({asked.headers["idempotency-key"] for asked in triggers.asked}) == 10


def test_a_retraining_on_newer_data(command: Command, drifting: Drifting, triggers: LocalServer) -> None:
    """The newest version of the data goes to the pipeline's parameter; where there is none newer, a line says so instead."""
    drifting.pipelines = [replace(drifting.pipelines[0], dataset="bank:1")]
    pinned = command(*RETRAIN)
    assert pinned.code == 8
    assert pinned.errors[-1].startswith(
        "model bank:2 is not retrained: bank-training, version 1, would train on bank:1, which it"
    )
    assert "--data-parameter" in pinned.errors[-1]
    assert not triggers.asked
    newest = (*RETRAIN, "--data", "bank", "--data-parameter", "dataset")
    assert command(*newest).errors[-1] == "model bank:2 is retrained by run run-1 of bank-training, version 1"
    assert triggers.asked[-1].document["ParameterAssignments"] == {"dataset": "bank:2"}
    drifting.versions = 1
    assert command(*newest).errors[-1].endswith("no newer than the model's own bank:1; register newer rows first")
    assert len(triggers.asked) == 1
    for words in ((*RETRAIN, "--data", "bank"), (*RETRAIN, "--data-parameter", "dataset"), newest[:2] + newest[4:]):
        assert command(*words).code == 2


def test_a_retraining_on_data_that_nobody_knows(command: Command, drifting: Drifting) -> None:
    """Where a step of the pipeline makes its data, it is triggered."""
    drifting.pipelines = [replace(drifting.pipelines[0], dataset="")]
    assert "is retrained by run run-1" in command(*RETRAIN).errors[-1]
