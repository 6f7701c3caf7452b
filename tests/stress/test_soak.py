"""Good and bad traffic, mixed, for SOAK_SECONDS: no worker's memory, descriptors or threads grow, and no good request fails.

Keys are rotated meanwhile, and telemetry and the collector go on and off; in the last fifth of that time, models are switched.
`make soak` takes an hour; among the system tests it is five minutes.
"""

from __future__ import annotations

import json
import os
import random
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from support.bundles import OLD, YOUNG, write_bundle, write_service
from support.scoring_server import ScoringProcess, read_answers, read_to_end, request
from support.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(0)]
SECONDS = float(os.environ.get("SOAK_SECONDS", "300"))
SWITCHING_SECONDS = SECONDS / 5
STEADY_SECONDS = SECONDS - SWITCHING_SECONDS
CLIENTS = 4
WORKERS = 2
PACE_SECONDS = 0.002  # between two requests of a client: the hour is about growth, not about speed
GROWTH, SLACK_BYTES, SLACK_COUNT = 1.05, 12 * 2**20, 6
BODY = json.dumps({"data": [YOUNG, OLD]}).encode()
LARGE = json.dumps({"data": [YOUNG] * 4000}).encode()


class Sample(NamedTuple):
    """What all workers, and the processes beside them, together hold at a moment."""

    memory: int
    descriptors: int
    threads: int


def _exchange(port: int, content: bytes) -> int:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(content)
        return read_answers(connection, 1)[0][0]


def _leave(port: int, content: bytes) -> int:
    """Go away in the midst of it."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(content)
    return 0


def _broken(port: int) -> int:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"NOT HTTP\r\n\r\n")
        return int(read_to_end(connection).split()[1])


def _get(port: int, path: str) -> int:
    return _exchange(port, f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())


# Each kind of request, the status that it must have, and its share of the traffic.
KINDS: Sequence[tuple[Callable[[int], int], int, int]] = (
    (lambda port: _exchange(port, request(BODY)), 200, 20),
    (lambda port: _exchange(port, request(LARGE)), 200, 1),
    (lambda port: _exchange(port, request(BODY, path="/explain")), 200, 2),
    (lambda port: _exchange(port, request(BODY, key="wrong")), 403, 2),
    (lambda port: _exchange(port, request(b"{")), 400, 2),
    (lambda port: _exchange(port, request(b'{"data":[{"age":"old"}]}')), 400, 2),
    (lambda port: _exchange(port, request(b"", {"Content-Length": "999999999"})), 413, 1),
    (lambda port: _get(port, "/nothing"), 404, 1),
    (lambda port: _get(port, "/swagger.json"), 200, 1),
    (lambda port: _get(port, "/metrics"), 200, 1),
    (_broken, 400, 1),
    (lambda port: _leave(port, request(BODY)[:-10]), 0, 2),
    (lambda port: _leave(port, request(LARGE)), 0, 1),
)


def _put_traffic(port: int, over: threading.Event, failures: Counter[str], done: list[int]) -> None:
    choose = random.Random(threading.get_ident())
    while not over.wait(PACE_SECONDS):
        (number,) = choose.choices(range(len(KINDS)), [share for _, _, share in KINDS])
        ask, expected, _ = KINDS[number]
        try:
            status = ask(port)
        except (OSError, IndexError, ValueError) as error:
            failures[f"kind {number}: {error!r}"] += 1
        else:
            if status != expected:
                failures[f"kind {number}: {status} and not {expected}"] += 1
        done.append(1)


@contextmanager
def _traffic(port: int) -> Iterator[tuple[Counter[str], list[int]]]:
    """While inside; what failed, and one for each request."""
    over, failures, done = threading.Event(), Counter[str](), list[int]()
    clients = [threading.Thread(target=_put_traffic, args=(port, over, failures, done)) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield failures, done
    finally:
        over.set()
        for client in clients:
            client.join(60)


def _sample(server: ScoringProcess) -> Sample:
    workers = psutil.Process(server.process.pid).children()
    assert len(workers) == WORKERS, "no worker died"
    return _held_by([*workers, *(each for worker in workers for each in worker.children(recursive=True))])


def _held_by(family: Sequence[psutil.Process]) -> Sample:
    return Sample(
        sum(each.memory_info().rss for each in family),
        sum(each.num_fds() for each in family),
        sum(each.num_threads() for each in family),
    )


def _typical(samples: Sequence[Sample]) -> Sample:
    return Sample(*(int(statistics.median(values)) for values in zip(*samples, strict=True)))


def test_nothing_grows(tmp_path: Path) -> None:
    """After a warm-up, what the workers hold at the end is what they held at its beginning, and no good request failed."""
    samples: list[Sample] = []
    with ScoringProcess.start(tmp_path, workers=WORKERS, app_insights=True) as server:
        workers = {worker.pid for worker in psutil.Process(server.process.pid).children()}
        with _traffic(server.port) as (failures, done):
            until = time.monotonic() + STEADY_SECONDS
            while time.monotonic() < until:
                time.sleep(min(1.0, STEADY_SECONDS / 40))
                samples.append(_sample(server))
                write_service(tmp_path, workers=WORKERS, **_settings(len(samples)))
        assert {worker.pid for worker in psutil.Process(server.process.pid).children()} == workers
    assert (tmp_path / "collected.jsonl").stat().st_size > 0
    _check_growth(samples, failures, f"{len(done):,} requests in {STEADY_SECONDS:g} s")


def test_switches_leave_nothing(tmp_path: Path) -> None:
    """However often the model is switched under that traffic, no good request fails, and the supervisor holds no more for it."""
    for folder in ("one", "two"):
        write_bundle(tmp_path / "model" / folder)
    write_service(tmp_path, workers=WORKERS, model_folder="one")
    samples: list[Sample] = []
    with ScoringProcess.serve(tmp_path) as server:
        supervisor = psutil.Process(server.process.pid)
        with _traffic(server.port) as (failures, done):
            until = time.monotonic() + SWITCHING_SECONDS
            while time.monotonic() < until:
                folder = ("two", "one")[len(samples) % 2]
                write_service(tmp_path, workers=WORKERS, model_folder=folder, **_settings(len(samples)))
                _wait_until_served(tmp_path, folder)
                wait_until(lambda: len(supervisor.children()) == WORKERS, 30)
                samples.append(_held_by([supervisor]))
    assert len(samples) > 4
    _check_growth(samples, failures, f"{len(done):,} requests and {len(samples):,} switches in {SWITCHING_SECONDS:g} s")


def _settings(number: int) -> dict[str, object]:
    """Other ones each time."""
    return {
        "app_insights": number % 2 == 0,
        "collect_model_data": number // 2 % 2 == 0,
        "secondary_key": f"secondary-key-number-{number:020d}",
    }


def _wait_until_served(service: Path, folder: str) -> None:
    wait_until(lambda: json.loads((service / "ready.json").read_text())["model_folder"] == folder, 30)


def _check_growth(samples: Sequence[Sample], failures: Counter[str], what: str) -> None:
    quarter = len(samples) // 4
    before, after = _typical(samples[quarter : 2 * quarter]), _typical(samples[-quarter:])
    figures = f"{what}: {before} in the second quarter, {after} in the last"
    print(figures)  # noqa: T201  # what a person who waited an hour wants to see
    assert not failures, failures
    assert after.memory < before.memory * GROWTH + SLACK_BYTES, figures
    assert after.descriptors <= before.descriptors + SLACK_COUNT, figures
    assert after.threads <= before.threads + SLACK_COUNT, figures
