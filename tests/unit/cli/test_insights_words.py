"""`bankmlops insights` and `bankmlops monitor`: what they print, what they write, and the code that they end with."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest

from bankmlops.features.profile import profile_of
from bankmlops.types import Endpoint, EndpointState
from support.bundles import specification
from support.memory_backend import MemoryBackend
from support.recorded_telemetry import LOG, write_telemetry
from support.run_files import RunFiles
from support.telemetry_receiver import Answer, receiving

Command = Callable[..., Any]
ENDPOINT = Endpoint("bank-endpoint", EndpointState.HEALTHY, "http://x/score", "", "process", "bank", "2")


@pytest.fixture
def recorded(backend: MemoryBackend, tmp_path_factory: pytest.TempPathFactory) -> MemoryBackend:
    backend.endpoints["bank-endpoint"] = replace(ENDPOINT, app_insights=True)
    backend.telemetry = [write_telemetry(tmp_path_factory.mktemp("recorded") / "telemetry.jsonl")]
    backend.logs = [list(LOG)]
    return backend


def test_a_question(command: Command, recorded: MemoryBackend) -> None:
    """The answer is a table, or with --json a list of objects."""
    sql = "SELECT resultCode, count(*) AS n FROM requests GROUP BY ALL ORDER BY n DESC"
    assert command("insights", "bank-endpoint", sql, "--json").document[0] == {"resultCode": "200", "n": 85}
    shown = command("insights", "bank-endpoint", sql)
    assert shown.code == 0
    assert [line.split() for line in shown.out.splitlines()] == [["resultCode", "n"], ["200", "85"], ["400", "10"], ["500", "5"]]


def test_summary_and_report(command: Command, recorded: MemoryBackend) -> None:
    """Without a question there is a summary; --html writes the page as well, in a folder that is made."""
    done = command("insights", "bank-endpoint", "--html", "out/report.html")
    assert done.code == 0, done.err
    assert "POST /score" in done.out
    assert done.errors == ["the report is in out/report.html"]
    assert Path("out/report.html").read_text().startswith("<!doctype html>")


def test_what_can_not_be_asked(command: Command, recorded: MemoryBackend) -> None:
    """A wrong question ends with 2, an unknown endpoint with 3, each in one line; a report is not written then."""
    done = command("insights", "bank-endpoint", "SELECT nothing FROM requests", "--html", "report.html")
    assert (done.code, len(done.errors)) == (2, 1)
    assert not Path("report.html").exists()
    assert command("insights", "nobody").code == 3


def test_telemetry_is_sent(command: Command, recorded: MemoryBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how many requests were sent; where to, is one of two, and a secret comes by the environment alone."""
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret")
        done = command("export-telemetry", "bank-endpoint", "--otlp", receiver.url)
        assert (done.code, done.out.strip()) == (0, "sent 100 requests")
        assert command("export-telemetry", "bank-endpoint", "--otlp", receiver.url, "--json").document["sent"] == 0
        assert receiver.received[0].headers["api-key"] == "secret"
        receiver.usual = Answer(200, b'{"errors":[]}')
        string = f"InstrumentationKey=0a1b2c3d-0000-1111-2222-333344445555;IngestionEndpoint={receiver.url}"
        monkeypatch.setenv("APPLICATIONINSIGHTS_CONNECTION_STRING", string)
        assert command("export-telemetry", "bank-endpoint", "--application-insights").out.strip() == "sent 100 requests"
        for words in ((), ("--application-insights", "--otlp", receiver.url)):
            assert command("export-telemetry", "bank-endpoint", *words).code == 2


class Watched(RunFiles):
    """An endpoint that collected ages around `age`."""

    def __init__(self, folder: Path, age: int) -> None:
        columns = {"age": numpy.arange(400) % 50 + 20, "job": numpy.array(["student", "retired"] * 200, dtype=object)}
        (folder / "profile.json").write_text(profile_of(specification(), columns).to_json())
        super().__init__(folder)
        self.endpoints["bank-endpoint"] = ENDPOINT
        self.telemetry = [folder / "collected.jsonl"]
        rows = [{"age": age + number % 50, "job": ("student", "retired")[number % 2]} for number in range(200)]
        record = {"timestamp": "2026-01-01T00:00:00Z", "model": "bank:2", "rows": rows}
        self.telemetry[0].write_text(json.dumps(record) + "\n")


@pytest.mark.parametrize(("age", "threshold", "code"), [(20, "0.2", 0), (60, "0.2", 8), (60, "1000", 0)])
def test_monitor(
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    age: int,
    threshold: str,
    code: int,
) -> None:
    """Past the threshold it ends with 8; either way the report is printed, and stored as JSON and HTML."""
    watched = Watched(tmp_path_factory.mktemp("watched"), age)
    monkeypatch.setattr("bankmlops.connect.connect", lambda _name, _workspace: watched)
    done = command("monitor", "bank-endpoint", "--threshold", threshold, "--json")
    assert done.code == code
    assert done.document["drifted"] == (["age"] if code else [])
    (page,) = Path(".bankmlops/monitoring/bank-endpoint").glob("drift-*.html")
    assert json.loads(page.with_suffix(".json").read_text()) == done.document
    assert done.errors == [f"the report is in {page}"]
    shown = command("monitor", "bank-endpoint", "--threshold", threshold, "--output", "mine")
    assert shown.out.splitlines()[1].startswith("age")
    assert len(list(Path("mine").iterdir())) == 2
    for folder in (page.parent, Path("mine")):
        assert folder.stat().st_mode & 0o777 == 0o700, "callers' values are in it"
        assert {each.stat().st_mode & 0o777 for each in folder.iterdir()} == {0o600}


def test_monitor_without_rows(command: Command, backend: MemoryBackend) -> None:
    """Where nothing can be compared the code is an error's, so that a schedule does not retrain on it."""
    backend.endpoints["bank-endpoint"] = ENDPOINT
    done = command("monitor", "bank-endpoint")
    assert done.code == 2
    assert "has no training profile" in done.err


def test_only_the_newest_reports_are_kept(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The folder of reports is bounded."""
    monkeypatch.setattr("bankmlops.cli.monitor.KEPT_REPORTS", 2)
    watched = Watched(tmp_path_factory.mktemp("watched"), 20)
    monkeypatch.setattr("bankmlops.connect.connect", lambda _name, _workspace: watched)
    for _ in range(4):
        assert command("monitor", "bank-endpoint", "--output", "kept").code == 0
    assert len(list(Path("kept").iterdir())) == 4
