"""A load test of any endpoint: ApacheBench where it is installed, httpx otherwise, and the result says which.

`ab` takes its headers as arguments, which every user of a machine can read: give it a key that is replaced when the test is over.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import httpx

from bankmlops import client
from bankmlops.errors import BackendUnavailableError, InvalidRequestError

MAXIMUM_REQUESTS = 1_000_000
MAXIMUM_CONCURRENCY = 256
MAXIMUM_SECONDS = 600.0
REQUEST_SECONDS = 30
PERCENTILES = (50, 66, 75, 80, 90, 95, 98, 99)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A load test as it went, in ApacheBench's terms; times are of whole requests, `failed` counts all that got no 2xx."""

    tool: str
    requests: int
    failed: int
    requests_per_second: float
    mean_ms: float
    p50_ms: float
    p66_ms: float
    p75_ms: float
    p80_ms: float
    p90_ms: float
    p95_ms: float
    p98_ms: float
    p99_ms: float
    longest_ms: float
    seconds: float
    concurrency: int


def run_benchmark(
    scoring_uri: str, key: str | None, rows: Sequence[Mapping[str, object]], *, requests: int, concurrency: int
) -> Benchmark:
    """Send `rows` in each of `requests` requests, `concurrency` at a time.

    Raises `InvalidRequestError` for a number out of bounds, `BackendUnavailableError` where the endpoint does not answer at all
    or the test takes longer than ten minutes.
    """
    _check("--requests", requests, MAXIMUM_REQUESTS)
    _check("--concurrency", concurrency, MAXIMUM_CONCURRENCY)
    body = client.encode({"data": list(rows)})
    concurrency = min(concurrency, requests)
    program = shutil.which("ab")
    if program:
        return run_ab(program, scoring_uri, key, body, requests=requests, concurrency=concurrency)
    return run_httpx(scoring_uri, key, body, requests=requests, concurrency=concurrency)


def _check(option: str, value: int, maximum: int) -> None:
    if not 1 <= value <= maximum:
        raise InvalidRequestError(f"{option} {value} can't serve; give a whole number from 1 to {maximum:,}")


def run_ab(program: str, scoring_uri: str, key: str | None, body: bytes, *, requests: int, concurrency: int) -> Benchmark:
    """The test by ApacheBench. Raises `BackendUnavailableError` in its words."""
    with tempfile.TemporaryDirectory(prefix="bankmlops-ab-") as folder:
        content, percentiles = Path(folder, "body.json"), Path(folder, "percentiles.csv")
        content.write_bytes(body)
        headers = [word for name, value in client.bearer(key).items() for word in ("-H", f"{name}: {value}")]
        # -k keeps connections, -l lets answers differ in length, -r goes on after a broken connection, -q says nothing on the way
        options = ["-k", "-l", "-r", "-q", "-n", str(requests), "-c", str(concurrency), "-s", str(REQUEST_SECONDS)]
        files = ["-e", str(percentiles), "-p", str(content), "-T", "application/json"]
        report = _run([program, *options, *files, *headers, scoring_uri], scoring_uri)
        if _number(report, "Total transferred") == 0:
            raise BackendUnavailableError(f"{scoring_uri} does not answer: none of {requests} requests got a byte back")
        return parse_ab(report, percentiles.read_text(encoding="utf-8") if percentiles.exists() else "")


def _run(command: Sequence[str], scoring_uri: str) -> str:
    """The program's output; it is killed when it takes too long, or when Ctrl-C ends this process."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=MAXIMUM_SECONDS, check=False)
    except subprocess.TimeoutExpired:  # its text would hold the arguments, and so the key
        raise BackendUnavailableError(f"{scoring_uri}: the load test did not end within {MAXIMUM_SECONDS:.0f} s") from None
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").splitlines()
        reason = next((line for line in words if line.strip()), f"exit code {done.returncode}")
        raise BackendUnavailableError(f"{scoring_uri}: ab: {reason.removeprefix('ab: ').strip()[:200]}")
    return done.stdout.decode(errors="replace")


def parse_ab(report: str, percentiles_csv: str = "") -> Benchmark:
    """ApacheBench's report; `percentiles_csv`, which its option -e writes, has fractions of a millisecond.

    Raises `BackendUnavailableError` where the report lacks what each has.
    """
    requests = int(_number(report, "Complete requests"))
    mean = _number(report, "Time per request")
    table = dict(_pairs(r"^\s*(\d+)%\s+([\d.]+)", report)) or dict.fromkeys((*PERCENTILES, 100), mean)  # no table for one request
    # Of few requests ab writes some percentiles from beyond its memory: those are far from the table's.
    finer = {percent: value for percent, value in _pairs(r"^(\d+),([\d.]+)\s*$", percentiles_csv) if percent in table}
    table |= {percent: value for percent, value in finer.items() if abs(value - table[percent]) <= 1.0}
    return Benchmark(
        tool="ab",
        requests=requests,
        failed=min(_failed(report), requests),
        requests_per_second=_number(report, "Requests per second"),
        mean_ms=mean,
        longest_ms=max(table.values()),
        seconds=_number(report, "Time taken for tests"),
        concurrency=int(_number(report, "Concurrency Level")),
        **_named(table),
    )


def _failed(report: str) -> int:
    """ab counts a broken connection once as received and once as an exception, and an answer such as 401 not at all."""
    kinds = re.search(r"^ +\(Connect: (\d+), Receive: (\d+), Length: (\d+), Exceptions: (\d+)\)", report, re.MULTILINE)
    broken = max(map(int, kinds.groups())) if kinds else int(_number(report, "Failed requests"))
    refused = re.search(r"^Non-2xx responses:\s+(\d+)", report, re.MULTILINE)
    return broken + (int(refused[1]) if refused else 0)


def _number(report: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)}:\s+([\d.]+)", report, re.MULTILINE)
    if not found:
        raise BackendUnavailableError(f"ab's report lacks {name!r}; ab 2.3 or newer would serve")
    return float(found[1])


def _pairs(pattern: str, text: str) -> Iterator[tuple[int, float]]:
    return ((int(percent), float(milliseconds)) for percent, milliseconds in re.findall(pattern, text, re.MULTILINE))


def _named(table: Mapping[int, float]) -> dict[str, float]:
    missing = [percent for percent in PERCENTILES if percent not in table]
    if missing:
        raise BackendUnavailableError(f"ab's report lacks the percentile {missing[0]}; ab 2.3 or newer would serve")
    rising = accumulate((table[percent] for percent in PERCENTILES), max)  # whole milliseconds can lie below finer ones
    return {f"p{percent}_ms": value for percent, value in zip(PERCENTILES, rising, strict=True)}


def run_httpx(scoring_uri: str, key: str | None, body: bytes, *, requests: int, concurrency: int) -> Benchmark:
    """The test by httpx in this process, each of `concurrency` callers on a connection of its own."""
    load = _Load(scoring_uri, {**client.bearer(key), "Content-Type": "application/json"}, body, requests)
    try:
        with client.translated(scoring_uri):
            httpx.URL(scoring_uri)
            seconds = asyncio.run(asyncio.wait_for(load.run(concurrency), MAXIMUM_SECONDS))
    except TimeoutError:
        raise BackendUnavailableError(f"{scoring_uri}: the load test did not end within {MAXIMUM_SECONDS:.0f} s") from None
    return load.result(seconds, concurrency)


class _Load:
    """The requests that are still to be sent, and what became of the others."""

    def __init__(self, scoring_uri: str, headers: Mapping[str, str], body: bytes, requests: int) -> None:
        self._uri = scoring_uri
        self._headers = headers
        self._body = body
        self._left = requests
        self._times: list[float] = []
        self._failed = 0
        self._answered = False

    async def run(self, concurrency: int) -> float:
        """Send all, and answer the seconds that it took. Raises httpx's error where nothing was ever answered."""
        limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        options = client.session_options(self._uri)
        async with (
            httpx.AsyncClient(limits=limits, timeout=REQUEST_SECONDS, **options) as session,
            asyncio.TaskGroup() as callers,
        ):
            started = time.perf_counter()
            tasks = [callers.create_task(self._call(session)) for _ in range(concurrency)]
        errors = [error for task in tasks if (error := task.result())]
        if errors and not self._answered:
            raise errors[0]
        return time.perf_counter() - started

    async def _call(self, session: httpx.AsyncClient) -> httpx.TransportError | None:
        """One caller: a request after the other while there are any; answers the last error of its connection."""
        last = None
        while self._left > 0:
            self._left -= 1
            started = time.perf_counter()
            try:
                succeeded = await self._send(session)
                self._answered = True
                self._failed += not succeeded
            except httpx.TransportError as error:
                last = error
                self._failed += 1
            self._times.append((time.perf_counter() - started) * 1e3)
        return last

    async def _send(self, session: httpx.AsyncClient) -> bool:
        """One request, its answer read to the end and thrown away; whether it was a success."""
        async with session.stream("POST", self._uri, content=self._body, headers=self._headers) as response:
            async for _ in response.aiter_raw():
                pass
        return response.is_success

    def result(self, seconds: float, concurrency: int) -> Benchmark:
        """The percentiles are ApacheBench's: of the sorted times, the one at that share of their number."""
        times = sorted(self._times)
        count = len(times)
        table = {percent: times[min(count - 1, count * percent // 100)] for percent in PERCENTILES}
        return Benchmark(
            tool="httpx",
            requests=count,
            failed=self._failed,
            requests_per_second=count / seconds,
            mean_ms=sum(times) / count,
            longest_ms=times[-1],
            seconds=seconds,
            concurrency=concurrency,
            **_named(table),
        )
