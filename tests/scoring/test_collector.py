"""The model data collector: inputs and answers, only while it is switched on, bounded, and in no other file."""

from __future__ import annotations

import json
import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bankmlops.scoring import collector, telemetry
from bankmlops.scoring.collector import Collected, ModelDataCollector
from support.bundles import OLD, YOUNG, write_service
from support.scoring_server import ScoringProcess


def _collected(rows: list[Any], number: int = 1) -> Collected:
    return Collected(1e9, f"id-{number}", "bank:1", json.dumps({"data": rows}).encode(), ["no"] * len(rows))


def test_a_line_for_each_request(tmp_path: Path) -> None:
    """Rows and answers are written in the order they came, whatever form the body had; the file is its owner's alone."""
    made = ModelDataCollector(tmp_path / "collected.jsonl")
    made.put(_collected([YOUNG, OLD]))
    body = {"Inputs": {"data": [YOUNG]}, "GlobalParameters": {"method": "predict_proba"}}
    made.put(Collected(1e9, "id-2", "bank:1", json.dumps(body).encode(), [[0.9, 0.1]]))
    made.close()
    first, second = (json.loads(line) for line in (tmp_path / "collected.jsonl").read_text().splitlines())
    assert first == {
        "timestamp": "2001-09-09T01:46:40.000Z",
        "request_id": "id-1",
        "model": "bank:1",
        "rows": [YOUNG, OLD],
        "result": ["no", "no"],
    }
    assert (second["rows"], second["result"]) == ([YOUNG], [[0.9, 0.1]])
    assert (tmp_path / "collected.jsonl").stat().st_mode & 0o777 == 0o600


def test_nothing_starts_before_the_first_request(tmp_path: Path) -> None:
    """A service that does not collect has neither the thread nor the file."""
    before = threading.active_count()
    ModelDataCollector(tmp_path / "collected.jsonl").close()
    assert threading.active_count() == before
    assert not list(tmp_path.iterdir())


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests beyond the queue's count or bytes are dropped at once and counted; of a large request the first rows are kept."""
    let = threading.Event()
    written: list[str] = []

    def slow(_path: Path, lines: str) -> None:
        let.wait(30)
        written.extend(lines.splitlines())

    monkeypatch.setattr(telemetry, "append_bounded", slow)
    monkeypatch.setattr(collector, "MAX_QUEUE", 10)
    monkeypatch.setattr(collector, "MAX_QUEUE_BYTES", 2000)
    monkeypatch.setattr(collector, "MAX_ROWS", 3)
    made = ModelDataCollector(tmp_path / "collected.jsonl")
    made.put(_collected([YOUNG] * 100))
    assert made.dropped == 1
    for number in range(50):
        made.put(_collected([YOUNG] * 5, number))
    assert 30 <= made.dropped <= 50
    let.set()
    made.close()
    assert len(written) == 51 - made.dropped
    assert {len(json.loads(line)["rows"]) for line in written} == {3}


def test_the_file_is_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file before the present one is kept."""
    monkeypatch.setattr(telemetry, "MAX_FILE_BYTES", 1000)
    made = ModelDataCollector(tmp_path / "collected.jsonl")
    for number in range(40):
        made.put(_collected([YOUNG, OLD], number))
    made.close()
    assert {path.name for path in tmp_path.iterdir()} <= {"collected.jsonl", "collected.1.jsonl"}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 3000


def test_a_disk_that_refuses(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What can't be written is counted as dropped, the log names no value, and the next is tried."""
    (tmp_path / "collected.jsonl").mkdir()
    made = ModelDataCollector(tmp_path / "collected.jsonl")
    with caplog.at_level(logging.WARNING):
        made.put(_collected([YOUNG]))
        made.close()
    assert made.dropped == 1
    assert "collected.jsonl can't be written: IsADirectoryError" in caplog.text
    assert "student" not in caplog.text


@pytest.mark.slow
def test_switched_while_it_runs(tmp_path: Path) -> None:
    """Requests are collected from the switch on, those that were answered alone, and not after it is off again."""
    file = tmp_path / "collected.jsonl"
    with ScoringProcess.start(tmp_path) as server:
        server.score({"data": [YOUNG]})
        write_service(tmp_path, collect_model_data=True)
        server.score({"data": [OLD, YOUNG]})
        server.score({"data": [{**YOUNG, "age": "a text"}]})
        server.score({"data": [OLD]}, "a-wrong-key-that-was-sent")
        write_service(tmp_path)
        server.score({"data": [YOUNG]})
        deadline = time.monotonic() + 10
        while not file.exists() or not file.read_text().endswith("\n"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    (record,) = (json.loads(line) for line in file.read_text().splitlines())
    assert (record["rows"], record["result"], record["model"]) == ([OLD, YOUNG], ["yes", "no"], "bankmarketing:1")
