"""`bankmlops feedback`, `online` and `monitor --retrain`: words to calls, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from bankmlops.features.profile import profile_of
from bankmlops.types import Endpoint, EndpointState, LabelledRow, Outcome, PublishedPipeline
from support.bundles import specification
from support.memory_backend import MemoryBackend
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
    """An endpoint whose ages have moved, and a published pipeline."""

    def __init__(self, folder: Path) -> None:
        columns = {"age": numpy.arange(400) % 50 + 20, "job": numpy.array(["student", "retired"] * 200, dtype=object)}
        (folder / "profile.json").write_text(profile_of(specification(), columns).to_json())
        super().__init__(folder)
        self.endpoints["bank-endpoint"] = ENDPOINT
        self.pipelines = [PublishedPipeline("p-1", "bank-training", "1", "http://127.0.0.1:1/pipelines/p-1/submit")]
        self.telemetry = [folder / "collected.jsonl"]
        rows = [{"age": 60 + number % 50, "job": ("student", "retired")[number % 2]} for number in range(200)]
        self.telemetry[0].write_text(json.dumps({"timestamp": "2026-01-01T00:00:00Z", "model": "bank:2", "rows": rows}) + "\n")


def test_drift_retrains(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A drift triggers the pipeline, with a key that is the same for the same model; without one nothing is triggered."""
    triggered: list[tuple[str, str]] = []

    def trigger(endpoint: str, header: dict[str, str], _experiment: str) -> str:
        triggered.append((endpoint, header["Idempotency-Key"]))
        return "run-7"

    drifting = Drifting(tmp_path_factory.mktemp("drifting"))
    monkeypatch.setattr("bankmlops.connect.connect", lambda _name, _workspace: drifting)
    monkeypatch.setattr("bankmlops.client.trigger", trigger)
    for _ in range(2):
        done = command("monitor", "bank-endpoint", "--retrain", "bank-training")
        assert done.code == 8
        assert done.errors[-1] == "model bank:2 is retrained by run run-7 of bank-training, version 1"
    assert command("monitor", "bank-endpoint", "--retrain", "bank-training", "--threshold", 1000).code == 0
    assert command("monitor", "bank-endpoint", "--retrain", "nothing").code == 3
    ((endpoint, first), (_, second)) = triggered
    assert endpoint == drifting.pipelines[0].endpoint
    assert first == second
    drifting.endpoints["bank-endpoint"] = Endpoint(
        "bank-endpoint", EndpointState.HEALTHY, "http://x/score", "", "process", "bank", "3"
    )
    drifting.telemetry[0].write_text(drifting.telemetry[0].read_text().replace("bank:2", "bank:3"))
    command("monitor", "bank-endpoint", "--retrain", "bank-training")
    assert triggered[-1][1] != first
