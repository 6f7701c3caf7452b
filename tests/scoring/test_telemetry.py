"""The request log: a line for each request, telemetry while it is on, bounded in memory and on disk, and never a key."""

from __future__ import annotations

import io
import json
import re
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from bankmlops.scoring import telemetry
from bankmlops.scoring.telemetry import RequestLog, RequestRow
from support.bundles import OLD, PRIMARY, SECONDARY, YOUNG, write_service
from support.scoring_server import ScoringProcess

ROW = RequestRow(1e9, "id-1", "", "POST", "/score", 200, 2, 64, 1.5, 1.0, "Primary", "bank:1", "", True)


class SlowStream(io.StringIO):
    """A log whose disk does not answer until it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = threading.Event()

    def write(self, text: str) -> int:
        self.let.wait(30)
        return super().write(text)


def test_line() -> None:
    """A line says when, what, how long, by which key, on which model."""
    assert ROW.line() == (
        "2001-09-09T01:46:40.000Z INFO POST /score 200 1.500ms rows=2 bytes=64 key=Primary model=bank:1 request_id=id-1\n"
    )
    failed = ROW._replace(status=500, error='say "no"\n', key="")
    assert "ERROR POST /score 500" in failed.line()
    assert failed.line().endswith('key=- model=bank:1 request_id=id-1 error="say \\"no\\"\\n"\n')


@pytest.mark.parametrize("path", ["/a b\nforged line", "/\x1b[31m", "/\u2028", "/" + "x" * 1000])
def test_path_can_forge_no_line(path: str) -> None:
    """Whatever the path, the line stays one short line of printable ASCII."""
    line = ROW._replace(path=path).line()
    assert line.count("\n") == 1
    assert line.strip("\n").isprintable()
    assert line.isascii()
    assert len(line) < 1000
    assert json.loads(ROW._replace(path=path).telemetry())


def test_telemetry_while_it_is_on(tmp_path: Path) -> None:
    """Rows of moments when telemetry was on are in the file, as JSON, the owner's alone."""
    log = RequestLog(tmp_path / "telemetry.jsonl", io.StringIO())
    log.put(ROW)
    log.put(ROW._replace(request_id="id-2", app_insights=False))
    log.close()
    (line,) = (tmp_path / "telemetry.jsonl").read_text().splitlines()
    document = json.loads(line)
    assert (document["request_id"], document["status"], document["rows"], document["model"]) == ("id-1", 200, 2, "bank:1")
    assert (tmp_path / "telemetry.jsonl").stat().st_mode & 0o777 == 0o600


def test_queue_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the writer stands still rows beyond the bound are dropped without waiting, and their number is told."""
    monkeypatch.setattr(telemetry, "MAX_QUEUE", 100)
    stream = SlowStream()
    log = RequestLog(tmp_path / "telemetry.jsonl", stream)
    for _ in range(1000):
        log.put(ROW)
    assert log.queued <= 100
    assert log.dropped >= 800
    stream.let.set()
    log.close()
    assert len(re.findall("POST /score", stream.getvalue())) == 1000 - log.dropped
    assert f"{log.dropped} rows dropped so far" in stream.getvalue()


def test_close_writes_what_waits(tmp_path: Path) -> None:
    """Nothing that was put before the end is lost."""
    stream = io.StringIO()
    log = RequestLog(tmp_path / "telemetry.jsonl", stream)
    for _ in range(5000):
        log.put(ROW)
    log.close()
    assert stream.getvalue().count("POST /score") == 5000


def test_close_waits_for_a_bounded_time(tmp_path: Path) -> None:
    """A disk that does not answer holds nobody up at the end."""
    stream = SlowStream()
    log = RequestLog(tmp_path / "telemetry.jsonl", stream)
    log.put(ROW)
    began = time.monotonic()
    log.close(timeout=0.2)
    assert time.monotonic() - began < 5
    stream.let.set()


def test_full_disk(tmp_path: Path) -> None:
    """Where telemetry or the log itself can't be written the rows are counted as dropped, and the writer goes on."""
    (tmp_path / "telemetry.jsonl").mkdir()
    stream = io.StringIO()
    log = RequestLog(tmp_path / "telemetry.jsonl", stream)
    log.put(ROW)
    _wait(lambda: log.dropped)
    assert "telemetry.jsonl can't be written: Is a directory" in stream.getvalue()
    log.close()
    full = Path("/dev/full").open("w")  # noqa: SIM115  # it can't be closed without an error
    log = RequestLog(tmp_path / "other.jsonl", full)
    log.put(ROW)
    log.close()
    assert log.dropped >= 1
    assert (tmp_path / "other.jsonl").read_text().count("\n") == 1
    with suppress(OSError):
        full.close()


@contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    """A write that would make a file of this process longer is cut off there, as by a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_half_line(tmp_path: Path) -> None:
    """Where the disk takes a part of the lines none of them stays, and the next one is whole."""
    file = tmp_path / "telemetry.jsonl"
    telemetry.append_bounded(file, '{"number":1}\n')
    with _files_of_at_most(20), pytest.raises(OSError, match="No space left"):
        telemetry.append_bounded(file, '{"number":2}\n{"number":3}\n')
    telemetry.append_bounded(file, '{"number":4}\n')
    assert [json.loads(line)["number"] for line in file.read_text().splitlines()] == [1, 4]


def test_lines_that_could_not_be_placed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where others rotate the file each time that it was opened, the lines are counted as dropped."""
    monkeypatch.setattr(telemetry, "_is_at", lambda *_: False)
    stream = io.StringIO()
    log = RequestLog(tmp_path / "telemetry.jsonl", stream)
    log.put(ROW)
    log.close()
    assert log.dropped == 1
    assert "telemetry.jsonl can't be written: Resource temporarily unavailable" in stream.getvalue()


def test_dropped_lines_are_those_that_lack(tmp_path: Path) -> None:
    """Where the log's reader goes in the middle, what it was given before is not counted as dropped."""

    class Reader(io.StringIO):
        def write(self, text: str) -> int:
            if self.getvalue():
                raise BrokenPipeError
            return super().write(text)

    stream = Reader()
    log = RequestLog(tmp_path / "telemetry.jsonl", stream)
    for _ in range(100):
        log.put(ROW)
    log.close()
    assert 0 < stream.getvalue().count("POST /score") == 100 - log.dropped


def test_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Telemetry is rotated once, and a log file that is appended to starts anew, when they have become too long."""
    monkeypatch.setattr(telemetry, "MAX_FILE_BYTES", 10_000)
    with (tmp_path / "log").open("a") as stream:
        log = RequestLog(tmp_path / "telemetry.jsonl", stream)
        for _ in range(20):
            for _ in range(20):
                log.put(ROW)
            _wait(lambda: not log.queued)
            time.sleep(0.03)
        log.close()
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) == {"log", "telemetry.jsonl", "telemetry.1.jsonl"} or set(sizes) == {"log", "telemetry.1.jsonl"}
    assert all(size < 40_000 for size in sizes.values())
    assert "starts anew" in (tmp_path / "log").read_text()


@pytest.mark.slow
def test_switched_while_it_runs(tmp_path: Path) -> None:
    """Telemetry follows app_insights from the next request on, and neither it nor the log holds a key, an input or an answer."""
    file = tmp_path / "telemetry.jsonl"
    strange = {**OLD, "job": "a-secret-of-the-caller"}
    with ScoringProcess.start(tmp_path) as server:
        server.score({"data": [YOUNG]})
        write_service(tmp_path, app_insights=True)
        server.score({"data": [YOUNG, strange]}, **{"x-ms-client-request-id": "mine"})
        server.score({"data": [{**YOUNG, "age": "a-secret-of-the-caller"}]}, SECONDARY)
        server.score({"data": [{**YOUNG, "a-secret-of-the-caller": 1}]}, SECONDARY)
        server.score({"data": [YOUNG]}, "a-wrong-key-that-was-sent")
        server.get("/nothing?a-secret-of-the-caller")
        server.get("/health/ready")
        write_service(tmp_path, app_insights=False)
        server.score({"data": [YOUNG]})
        _wait(lambda: server.log.count("POST /score") == 6)
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        log = server.log
    seen = [(row["status"], row["rows"], row["key"], row["client_request_id"], row["path"]) for row in rows]
    assert seen == [
        (200, 2, "Primary", "mine", "/score"),
        (400, 0, "Secondary", "", "/score"),
        (400, 0, "Secondary", "", "/score"),
        (403, 0, "", "", "/score"),
        (404, 0, "", "", "/nothing"),
    ]
    assert rows[1]["error"] == "row 0, column 'age'"
    assert rows[0]["model"] == "bankmarketing:1"
    for secret in (PRIMARY, SECONDARY, "a-wrong-key", "a-secret", "retired", '"yes"'):
        assert secret not in log + file.read_text()


def _wait(look: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)
