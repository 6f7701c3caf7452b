"""Several workers on one port: one service to whoever looks, and one that goes on when a worker dies."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.bundles import OLD, YOUNG, write_bundle, write_service
from support.scoring_server import ScoringProcess, launch, read_answers, request

pytestmark = pytest.mark.slow
BODY = json.dumps({"data": [YOUNG, OLD]}).encode()
LINE = re.compile(r"20\d\d-\S+Z INFO POST /score 200 \S+ms rows=2 bytes=\d+ key=Primary model=bankmarketing:1 request_id=(\S+)")
BACK_SECONDS = 2.0
READY_SECONDS = 1.2
WORKER_BYTES = 200e6


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScoringProcess]:
    with ScoringProcess.start(tmp_path, workers=2, app_insights=True) as server:
        yield server


def _workers(server: ScoringProcess) -> list[psutil.Process]:
    return [each for each in psutil.Process(server.process.pid).children() if each.status() != psutil.STATUS_ZOMBIE]


def _ask(port: int) -> object:
    """A status, or what went wrong; a connection of its own."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(request(BODY))
            return read_answers(connection, 1)[0][0]
    except (OSError, IndexError) as error:
        return type(error).__name__


@contextmanager
def _load(port: int, threads: int) -> Iterator[Counter[object]]:
    outcomes: Counter[object] = Counter()
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            outcomes[_ask(port)] += 1

    askers = [threading.Thread(target=run) for _ in range(threads)]
    for asker in askers:
        asker.start()
    try:
        yield outcomes
    finally:
        over.set()
        for asker in askers:
            asker.join(60)


def _counted(server: ScoringProcess) -> int:
    found = re.search(r'bankmlops_requests_total\{status="200"\} (\d+)', server.get("/metrics").text)
    return int(found.group(1)) if found else 0


def test_one_service(server: ScoringProcess) -> None:
    """Metrics of all answer from each, no log line is torn or lacks, and no request id comes twice."""
    with _load(server.port, 4) as outcomes:
        _wait(lambda: sum(outcomes.values()) >= 400)
    assert set(outcomes) == {200}
    _wait(lambda: [_counted(server) for _ in range(20)] == [outcomes[200]] * 20)  # whichever is asked
    assert 'version="1",algorithm="LogisticRegression"} 1\n' in server.get("/metrics").text
    _wait(lambda: server.log.count("POST /score") == outcomes[200])
    lines = [line for line in server.log.splitlines() if "POST" in line]
    ids = [found.group(1) for found in map(LINE.fullmatch, lines) if found]
    assert len(ids) == len(set(ids)) == outcomes[200]
    assert len({each.rpartition("-")[0] for each in ids}) == 2, "both workers answered"
    telemetry = (server.folder / "telemetry.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["request_id"] for line in telemetry) == sorted(ids)


def test_soon_ready_and_small(tmp_path: Path) -> None:
    """It has answered within 1.2 s of its start, by the quickest of three, and none of its processes then holds 200 MB."""
    seconds, sizes = list[float](), list[int]()
    for number in range(3):
        began = time.monotonic()
        with ScoringProcess.start(tmp_path / str(number)) as server:
            assert _ask(server.port) == 200
            seconds.append(time.monotonic() - began)
            server.score({"data": [YOUNG] * 4000}).raise_for_status()
            server.post("/explain", BODY).raise_for_status()
            family = psutil.Process(server.process.pid).children(recursive=True)
            assert len(family) == 5, "a worker, and what reads large requests and explains beside it"
            family.append(psutil.Process(server.process.pid))
            sizes += [each.memory_info().rss for each in family]
    assert min(seconds) < READY_SECONDS, seconds
    assert max(sizes) < WORKER_BYTES, sizes


def test_a_worker_is_killed_under_load(server: ScoringProcess) -> None:
    """It is replaced within 2 s, its own requests fail fast, all others are answered, and what it counted stays counted."""
    with _load(server.port, 4) as outcomes:
        _wait(lambda: outcomes[200] >= 200)
        before = {worker.pid for worker in _workers(server)}
        victim = psutil.Process(min(before))
        time.sleep(0.3)  # what was counted is left for the others ten times a second
        counted = _counted(server)
        victim.kill()
        killed = time.monotonic()
        _wait(lambda: len({worker.pid for worker in _workers(server)} - before) == 1, BACK_SECONDS)
        assert time.monotonic() - killed < BACK_SECONDS
        answered = outcomes[200]
        _wait(lambda: outcomes[200] >= answered + 200)
    failed = sum(number for outcome, number in outcomes.items() if outcome != 200)
    assert failed <= 4, outcomes
    assert counted <= _counted(server) <= outcomes[200]
    assert "is replaced: its worker ended by SIGKILL" in server.log


def test_the_only_worker_is_killed(tmp_path: Path) -> None:
    """Who comes meanwhile waits for the next worker, and is answered."""
    with ScoringProcess.start(tmp_path) as server:
        port = server.port
        for _ in range(2):
            (worker,) = _workers(server)
            worker.kill()
            worker.wait(10)
            began = time.monotonic()
            assert _ask(port) == 200
            assert time.monotonic() - began < BACK_SECONDS


def test_the_supervisor_is_killed(server: ScoringProcess) -> None:
    """Its workers finish and follow it, so that nobody serves who is not looked after."""
    workers = _workers(server)
    server.process.kill()
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive


def test_an_orderly_end(server: ScoringProcess) -> None:
    """SIGTERM has every worker finish what it was asked, and says so once."""
    workers = _workers(server)
    port = server.port
    with _load(port, 3) as outcomes:
        _wait(lambda: outcomes[200] >= 50)
        server.process.terminate()
        _wait(lambda: server.get("/health/ready").status_code == 503)
    assert server.process.wait(30) == 0
    assert set(outcomes) == {200}
    assert not [worker for worker in workers if worker.is_running()]
    assert server.log.count("stopped") == 1


def test_another_model(tmp_path: Path) -> None:
    """A model that service.json names is switched to when it can serve; one that can't is refused once, with the reason."""
    models = tmp_path / "model"
    for name in ("one", "two", "broken"):
        write_bundle(models / name)
    (models / "broken" / "model.onnx").write_bytes(b"no graph")
    write_service(tmp_path, model_folder="one", workers=2)
    with ScoringProcess.serve(tmp_path) as server:
        idle = server.connect()
        idle.sendall(request(BODY))
        read_answers(idle, 1)
        write_service(tmp_path, model_folder="two", model_version="2", workers=2)
        _wait(lambda: _ready(server)["model_folder"] == "two")
        idle.sendall(request(BODY))
        assert read_answers(idle, 1)[0][0] == 200, "a connection that was open is answered once more"
        assert idle.recv(1) == b""
        write_service(tmp_path, model_folder="broken", model_version="3", workers=2)
        _wait(lambda: _ready(server)["refused"])
        assert (_ready(server)["model_version"], _ready(server)["refused"]["model_folder"]) == ("2", "broken")
        assert "model.onnx is not the file" in _ready(server)["refused"]["reason"]
        assert server.score(BODY).status_code == 200
        assert 'version="2"' in server.get("/metrics").text
        _wait(lambda: len(_workers(server)) == 2)


KILLED_UPDATE: dict[str, object] = {
    "model_folder": "broken", "model_version": "2", "workers": 2,
    "previous_model_folder": "one", "previous_model_name": "bankmarketing", "previous_model_version": "1",
}  # fmt: skip


def test_a_start_after_an_update_that_was_killed(tmp_path: Path) -> None:
    """Where the model that service.json names can't be served the one before is, and ready.json says so; another may follow."""
    for name in ("one", "broken", "three"):
        write_bundle(tmp_path / "model" / name)
    (tmp_path / "model" / "broken" / "model.onnx").write_bytes(b"no graph")
    write_service(tmp_path, **KILLED_UPDATE)
    with ScoringProcess.serve(tmp_path) as server:
        assert (_ready(server)["model_version"], _ready(server)["refused"]["model_folder"]) == ("1", "broken")
        assert server.score(BODY).status_code == 200
        assert 'version="1"' in server.get("/metrics").text
        assert "can't be served, and bankmarketing:1 is tried instead: " in server.log
        assert len(_workers(server)) == 2
        write_service(tmp_path, **KILLED_UPDATE | {"model_folder": "three", "model_version": "3"})
        _wait(lambda: _ready(server)["model_folder"] == "three")
        assert _ready(server)["refused"] is None


def test_a_start_without_any_model(tmp_path: Path) -> None:
    """Where neither model can be served the service does not start, and one line says what is wrong with both."""
    for name in ("one", "broken"):
        write_bundle(tmp_path / "model" / name)
        (tmp_path / "model" / name / "model.onnx").write_bytes(b"no graph")
    write_service(tmp_path, **KILLED_UPDATE)
    process = launch(tmp_path)
    assert process.wait(60) == 1
    assert re.search(
        r"ERROR .*model\.onnx is not .*; nor can the model before: .*model\.onnx is not ", (tmp_path / "log").read_text()
    )


def test_a_worker_that_finds_broken_settings(tmp_path: Path) -> None:
    """A worker that is replaced while service.json is broken goes on with what that said last, rotated keys included."""
    with ScoringProcess.start(tmp_path) as server:
        write_service(tmp_path, primary_key="rotated-primary-key-of-now")
        time.sleep(0.5)  # it is looked at five times a second
        (tmp_path / "service.json").write_text("{")
        (worker,) = _workers(server)
        worker.kill()
        worker.wait(10)
        assert server.score(BODY, "rotated-primary-key-of-now").status_code == 200
        assert server.score(BODY).status_code == 403
        assert "the settings stay as they were" in server.log
        write_service(tmp_path)
        assert server.score(BODY).status_code == 200


@pytest.mark.parametrize("settings", [{"workers": 0}, {"workers": 65}, {"workers": True}, {"model_folder": "../up"}])
def test_settings_that_cant_serve(tmp_path: Path, settings: dict[str, object]) -> None:
    """Numbers of workers and folders that can't serve are refused in one line that names the field."""
    with pytest.raises(AssertionError, match=rf"service\.json: {next(iter(settings))} must be"):
        ScoringProcess.start(tmp_path, **settings)


def _ready(server: ScoringProcess) -> Any:
    return json.loads((server.folder / "ready.json").read_text())


def _wait(look: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
