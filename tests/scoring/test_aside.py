"""What would block a worker's event loop is done in a process beside it: replaced when it dies, and ended with the worker."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy
import psutil
import pytest

from support.bundles import OLD, YOUNG, write_service
from support.scoring_server import ScoringProcess, read_answers, request
from support.slow_bundle import write_slow_bundle

pytestmark = pytest.mark.slow
PLAIN = {"Accept": "application/json; format=plain"}
BODY = json.dumps({"data": [YOUNG, OLD]}).encode()
ROWS = [{"age": 20 + number % 50, "job": "student"} for number in range(3000)]
LARGE = json.dumps({"data": ROWS}).encode()
SOON = 5.0
ROUNDS, ROUND_SECONDS = 5, 0.6
SHARE = 0.25


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScoringProcess]:
    with ScoringProcess.start(tmp_path) as server:
        yield server


def _worker(server: ScoringProcess) -> psutil.Process:
    (worker,) = psutil.Process(server.process.pid).children()
    return worker


def _keepers(server: ScoringProcess) -> list[psutil.Process]:
    return sorted(_worker(server).children(), key=lambda each: each.pid)


def _scoring(server: ScoringProcess) -> psutil.Process:
    """The process that scores large requests: there once one was sent."""
    (process,) = _keepers(server)[0].children()
    return process


def _has_begun(server: ScoringProcess) -> bool:
    """Whether that process has taken a request's socket."""
    keeper = _keepers(server)[0]
    return bool(_sockets(_scoring(server)) - _sockets(keeper))


def _sockets(process: psutil.Process) -> set[str]:
    links = {os.readlink(each) for each in Path(f"/proc/{process.pid}/fd").iterdir()}
    return {link for link in links if link.startswith("socket:")}


@contextmanager
def _held(server: ScoringProcess, content: bytes) -> Iterator[socket.socket]:
    """A large request that has come to a process which does not get on with it."""
    assert server.score(content).status_code == 200
    process = _scoring(server)
    process.suspend()
    try:
        with server.connect() as connection:
            connection.sendall(request(content))
            _wait(lambda: "bankmlops_batch_queue 1\n" in server.get("/metrics").text)
            yield connection
    finally:
        if process.is_running():
            process.resume()


def test_small_ones_do_not_wait(server: ScoringProcess) -> None:
    """While the process stands still small requests are answered as ever; the large one is when it goes on."""
    with _held(server, LARGE) as large:
        for _ in range(20):
            assert server.score(BODY).status_code == 200
        large.setblocking(False)
        with pytest.raises(BlockingIOError):
            large.recv(1)
        large.settimeout(20)
        _scoring(server).resume()
        assert read_answers(large, 1)[0][0] == 200


def test_who_waits_for_one_that_dies(server: ScoringProcess) -> None:
    """A request that was not begun is answered by the process that comes after it, and the worker is the same."""
    worker = _worker(server)
    with _held(server, LARGE) as large:
        _scoring(server).kill()
        assert read_answers(large, 1)[0][0] == 200
    assert _worker(server) == worker
    assert "the process for large requests is replaced: it ended by SIGKILL" in server.log


def test_one_that_dies_over_a_request(tmp_path: Path) -> None:
    """The request is a 503 that says when to come again, at once, and so is nobody else's."""
    write_slow_bundle(tmp_path / "model", layers=60)
    write_service(tmp_path)
    with ScoringProcess.serve(tmp_path) as server, server.connect() as large:
        large.sendall(request(LARGE))
        _wait(lambda: _has_begun(server))
        _scoring(server).kill()
        answer = b""
        while b"has ended: try again" not in answer:
            answer += large.recv(65536) or pytest.fail(answer.decode())
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in answer
        assert server.score(BODY).status_code == 200


def test_who_leaves(server: ScoringProcess) -> None:
    """A caller that goes away leaves its place at once, whatever the process does."""
    with _held(server, LARGE) as large:
        large.close()
        _wait(lambda: "bankmlops_batch_queue 0\n" in server.get("/metrics").text)
        _wait(lambda: "POST /score 499" in server.log)
        _scoring(server).resume()
        assert server.score(LARGE).status_code == 200


def test_work_that_takes_too_long(tmp_path: Path) -> None:
    """Its caller is told when the time is over, a while later the process is replaced, and the next is answered."""
    write_slow_bundle(tmp_path / "model", layers=150)
    write_service(tmp_path, limits={"scoring_seconds": 1.0})
    with ScoringProcess.serve(tmp_path) as server:
        response = server.score({"data": ROWS * 6})
        assert (response.status_code, response.json()["message"]) == (503, "scoring took longer than 1 s: send fewer rows")
        _wait(lambda: "the process for large requests is replaced: it ended by SIGALRM" in server.log)
        _wait(lambda: server.score(BODY + b" " * 40_000).status_code == 200)


def test_who_waits_in_vain(tmp_path: Path) -> None:
    """Who was only behind others for that long did nothing wrong, and is told to come again."""
    with ScoringProcess.start(tmp_path, limits={"scoring_seconds": 3.0}) as server, _held(server, LARGE):
        response = server.score(LARGE)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json()["message"] == "it has waited for 3 s behind other large requests: try again"


def test_a_keeper_that_dies(server: ScoringProcess) -> None:
    """Its process ends with it, and nobody brings that back, so the worker gives its place to another one."""
    with _held(server, LARGE) as large:
        worker, scoring = _worker(server), _scoring(server)
        _keepers(server)[0].kill()
        assert read_answers(large, 1)[0][0] == 503
        assert not psutil.wait_procs([scoring], timeout=SOON)[1]
    assert server.score(LARGE).status_code == 503
    worker.wait(SOON)
    _wait(lambda: server.score(LARGE).status_code == 200)


@pytest.mark.parametrize("end", ["the worker", "the supervisor", "SIGTERM"])
def test_it_ends_with_the_worker(tmp_path: Path, end: str) -> None:
    """However a worker ends, no process of its own is left, whatever that was doing."""
    with ScoringProcess.start(tmp_path, limits={"drain_seconds": 1}) as server, _held(server, LARGE):
        family = _worker(server).children(recursive=True)
        assert len(family) == 3, "two keepers, and one process at work"
        if end == "the worker":
            _worker(server).kill()
        elif end == "the supervisor":
            server.process.kill()
        else:
            server.process.send_signal(signal.SIGTERM)
            server.process.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(family, timeout=SOON)
        assert not alive


def test_who_is_told_to_end_together(server: ScoringProcess) -> None:
    """A SIGTERM for all processes at once, as some who stop a service send it, fails no request that was accepted."""
    with _held(server, LARGE) as large:
        family = psutil.Process(server.process.pid).children(recursive=True)
        server.process.terminate()
        for each in family:
            each.terminate()
        _scoring(server).resume()
        assert read_answers(large, 1)[0][0] == 200
    assert server.process.wait(30) == 0
    assert not psutil.wait_procs(family, timeout=SOON)[1]


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
@pytest.mark.parametrize("headers", [{}, PLAIN], ids=["azure", "plain"])
def test_the_same_answer(server: ScoringProcess, method: str, headers: dict[str, str]) -> None:
    """A large request is answered as small ones of the same rows are."""

    def answer(rows: list[dict[str, Any]]) -> list[Any]:
        found = server.score({"data": rows, "method": method}, **headers).json()
        result: list[Any] = (found if headers else json.loads(found))["result"]
        return result

    small = [each for first in range(0, len(ROWS), 500) for each in answer(ROWS[first : first + 500])]
    if method == "predict":
        assert answer(ROWS) == small
    else:
        assert numpy.allclose(answer(ROWS), small, atol=1e-6)


def test_what_is_wrong(server: ScoringProcess) -> None:
    """A row that can't be scored is named in a large request as in a small one."""
    response = server.score({"data": [*ROWS, {"age": "old", "job": "student"}]})
    assert response.status_code == 400
    assert response.json()["message"] == "row 3000, column 'age': 'old' where a whole number would serve"
    assert server.score(b'{"data":[' + b" " * 40_000).status_code == 400


def test_collected(tmp_path: Path) -> None:
    """Of a large request the collector keeps the first rows and their answers."""
    with ScoringProcess.start(tmp_path, collect_model_data=True) as server:
        assert server.score(LARGE).status_code == 200
        path = tmp_path / "collected.jsonl"
        _wait(lambda: path.exists() and path.read_text().endswith("\n"))
        (record,) = map(json.loads, path.read_text().splitlines())
    assert record["rows"] == ROWS[:1000]
    assert record["result"] == ["yes" if row["age"] >= 40 else "no" for row in ROWS[:1000]]


def test_small_ones_keep_their_p99(server: ScoringProcess) -> None:
    """Beside large requests of a fast model, one after the other, 99 of 100 small ones take a small share of a large one's time.

    Another job on the machine disturbs both; the round in the middle counts.
    """
    large = request(json.dumps({"data": ROWS * 6}).encode())
    shares = []
    for _ in range(ROUNDS):
        with _sent_again_and_again(server.port, large) as seconds:
            of_small = _p99(server.port)
        assert len(seconds) > 1
        shares.append(of_small / median(seconds))
    assert median(shares) < SHARE, shares


@contextmanager
def _sent_again_and_again(port: int, content: bytes) -> Iterator[list[float]]:
    """While inside; how many seconds each answer took."""
    over, seconds = threading.Event(), list[float]()

    def send() -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            while not over.is_set():
                seconds.append(_seconds(connection, content))

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield seconds
    finally:
        over.set()
        sender.join(30)


def _p99(port: int) -> float:
    seconds, until = list[float](), time.monotonic() + ROUND_SECONDS
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        while time.monotonic() < until:
            seconds.append(_seconds(connection, request(BODY)))
    return sorted(seconds)[len(seconds) * 99 // 100]


def _seconds(connection: socket.socket, content: bytes) -> float:
    began = time.perf_counter()
    connection.sendall(content)
    assert read_answers(connection, 1)[0][0] == 200
    return time.perf_counter() - began


def _wait(look: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if look():
                return
        except (OSError, ValueError):
            pass
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
