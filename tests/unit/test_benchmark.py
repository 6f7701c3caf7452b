"""The load test: ApacheBench's report read, and httpx at work against a real server."""

from __future__ import annotations

import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bankmlops import benchmark
from bankmlops.benchmark import parse_ab, run_ab, run_benchmark, run_httpx
from bankmlops.errors import BackendUnavailableError, InvalidRequestError
from support.http_server import Answer, Asked, LocalServer, serving

KEY = "a-temporary-key-that-nobody-may-see"
REPORT = """\
This is ApacheBench, Version 2.3 <$Revision$>

Benchmarking 127.0.0.1 (be patient).....done

Server Software:
Server Hostname:        127.0.0.1
Server Port:            8080

Document Path:          /score
Document Length:        Variable

Concurrency Level:      8
Time taken for tests:   0.620 seconds
Complete requests:      1000
Failed requests:        6
   (Connect: 0, Receive: 3, Length: 0, Exceptions: 3)
Non-2xx responses:      20
Keep-Alive requests:    997
Total transferred:      212000 bytes
Total body sent:        236000
HTML transferred:       38000 bytes
Requests per second:    1613.97 [#/sec] (mean)
Time per request:       4.957 [ms] (mean)
Time per request:       0.620 [ms] (mean, across all concurrent requests)
Transfer rate:          334.14 [Kbytes/sec] received

Connection Times (ms)
              min  mean[+/-sd] median   max
Connect:        0    0   0.1      0       1
Total:          1    5   1.9      5      20

Percentage of the requests served within a certain time (ms)
  50%      5
  66%      5
  75%      5
  80%      6
  90%      7
  95%      8
  98%      9
  99%     13
 100%     20 (longest request)
"""
FINER = "Percentage served,Time in ms\n0,1.012\n50,4.702\n66,5.101\n75,5.353\n80,5.525\n90,6.506\n95,7.531\n98,8.914\n99,12.823\n"


def test_a_report_is_read() -> None:
    """All of ApacheBench's numbers are there; a broken connection counts once, and an answer such as 401 counts as failed."""
    found = parse_ab(REPORT)
    assert (found.tool, found.requests, found.failed, found.concurrency) == ("ab", 1000, 23, 8)
    assert (found.requests_per_second, found.mean_ms, found.seconds) == (1613.97, 4.957, 0.62)
    assert (found.p50_ms, found.p80_ms, found.p99_ms, found.longest_ms) == (5.0, 6.0, 13.0, 20.0)


def test_fractions_of_a_millisecond() -> None:
    """Where ApacheBench wrote finer percentiles they take the place of the report's."""
    found = parse_ab(REPORT, FINER)
    assert (found.p50_ms, found.p95_ms, found.p99_ms, found.longest_ms) == (4.702, 7.531, 12.823, 20.0)


def test_percentiles_from_beyond_its_memory() -> None:
    """Of few requests ApacheBench writes some percentiles that are no times; those are not believed, and none falls."""
    found = parse_ab(REPORT, FINER.replace("99,12.823", "99,5788344089835828.000").replace("98,8.914", "98,8.001"))
    assert (found.p98_ms, found.p99_ms, found.longest_ms) == (8.001, 13.0, 20.0)
    times = [getattr(found, f"p{percent}_ms") for percent in benchmark.PERCENTILES]
    assert times == sorted(times)


def test_one_request_has_no_table() -> None:
    """ApacheBench draws no percentiles of a single request; its time is all of them."""
    report = REPORT.partition("Percentage of")[0].replace("requests:      1000", "requests:      1")
    found = parse_ab(report)
    assert (found.requests, found.failed) == (1, 1)
    assert found.p50_ms == found.p99_ms == found.longest_ms == 4.957


@pytest.mark.parametrize("cut", ["Complete requests", "Requests per second", "  99% "])
def test_a_report_that_lacks_something(cut: str) -> None:
    """A report without one of its numbers is refused, and the message says which."""
    report = "\n".join(line for line in REPORT.splitlines() if not line.startswith(cut))
    with pytest.raises(BackendUnavailableError, match=cut.strip().removesuffix("%")):
        parse_ab(report)


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with serving(lambda _: Answer({"result": ["no"]})) as running:
        yield running


@pytest.fixture
def no_ab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def test_httpx_takes_its_place(server: LocalServer, no_ab: None) -> None:
    """Without ApacheBench every request is sent all the same, with key and rows, and the result says by what."""
    found = run_benchmark(f"{server.url}/score", KEY, [{"age": 20}], requests=60, concurrency=4)
    assert (found.tool, found.requests, found.failed, found.concurrency) == ("httpx", 60, 0, 4)
    assert len(server.asked) == 60
    assert {asked.headers["authorization"] for asked in server.asked} == {f"Bearer {KEY}"}
    assert server.asked[0].document == {"data": [{"age": 20}]}
    assert 0 < found.p50_ms <= found.p90_ms <= found.p99_ms <= found.longest_ms
    assert found.requests_per_second == pytest.approx(60 / found.seconds)


def test_httpx_counts_failures(server: LocalServer) -> None:
    """Every answer that is no success counts as failed, whoever of the callers got it."""
    counter = iter(range(1000))
    lock = threading.Lock()

    def every_third(asked: Asked) -> Answer:
        with lock:
            return Answer({}, 401 if next(counter) % 3 == 0 else 200)

    server.answer = every_third
    assert run_httpx(server.url, KEY, b"{}", requests=90, concurrency=5).failed == 30


def test_httpx_keeps_to_its_concurrency(server: LocalServer) -> None:
    """No more requests are under way than were asked for."""
    now, most = 0, 0
    lock = threading.Lock()

    def counted(asked: Asked) -> Answer:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        with lock:
            now -= 1
        return Answer({})

    server.answer = counted
    run_httpx(server.url, KEY, b"{}", requests=30, concurrency=3)
    assert most == 3


def test_httpx_with_nobody_there() -> None:
    """A test that no request of gets through is an error and no result."""
    with pytest.raises(BackendUnavailableError, match="does not answer"):
        run_httpx("http://127.0.0.1:9/score", KEY, b"{}", requests=4, concurrency=2)


def test_httpx_gives_up(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that takes too long is ended."""
    monkeypatch.setattr(benchmark, "MAXIMUM_SECONDS", 0.2)
    server.answer = lambda _: time.sleep(1.0) or Answer({})  # type: ignore[func-returns-value]
    with pytest.raises(BackendUnavailableError, match="did not end within"):
        run_httpx(server.url, KEY, b"{}", requests=4, concurrency=2)


@pytest.mark.parametrize(
    ("numbers", "option"),
    [
        ({"requests": 0, "concurrency": 1}, "--requests 0"),
        ({"requests": 2_000_000, "concurrency": 1}, "--requests"),
        ({"requests": 1, "concurrency": 0}, "--concurrency 0"),
        ({"requests": 9999, "concurrency": 9999}, "--concurrency"),
    ],
)
def test_numbers_out_of_bounds(numbers: dict[str, int], option: str) -> None:
    """A number that can't serve is refused by its option's name, with what would."""
    with pytest.raises(InvalidRequestError, match=f"{option}.*whole number from 1 to"):
        run_benchmark("http://127.0.0.1:9/score", KEY, [{}], **numbers)


def test_an_address_that_is_none() -> None:
    """What is no address is the caller's mistake."""
    with pytest.raises(InvalidRequestError, match="address"):
        run_httpx("http://127.0.0.1:x/score", KEY, b"{}", requests=1, concurrency=1)


def _program(folder: Path, script: str) -> str:
    program = folder / "ab"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


@pytest.mark.slow
def test_ab_that_fails(tmp_path: Path) -> None:
    """When ApacheBench ends in an error its own words are the message, without its arguments, which hold the key."""
    program = _program(tmp_path, 'echo "ab: Could not use the address" >&2; echo "$@" >&2; exit 22')
    with pytest.raises(BackendUnavailableError, match="Could not use the address") as caught:
        run_ab(program, "http://127.0.0.1:9/score", KEY, b"{}", requests=1, concurrency=1)
    assert KEY not in str(caught.value)


@pytest.mark.slow
def test_ab_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ApacheBench is killed when it takes too long, and its arguments are not told."""
    monkeypatch.setattr(benchmark, "MAXIMUM_SECONDS", 0.5)
    marker = tmp_path / "pid"
    program = _program(tmp_path, f"echo $$ > {marker}; exec sleep 600")
    with pytest.raises(BackendUnavailableError, match="did not end within") as caught:
        run_ab(program, "http://127.0.0.1:9/score", KEY, b"{}", requests=1, concurrency=1)
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None
    assert not Path("/proc", marker.read_text().strip()).exists()
