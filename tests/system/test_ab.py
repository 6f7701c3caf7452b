"""ApacheBench itself, against a real scoring process."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bankmlops.benchmark import Benchmark, run_benchmark
from bankmlops.errors import BackendUnavailableError
from support.bundles import OLD, SECONDARY, YOUNG
from support.scoring_server import ScoringProcess

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("ab") is None, reason="ApacheBench is not installed (Debian: apache2-utils)"),
]


@pytest.fixture(scope="module")
def scoring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScoringProcess]:
    with ScoringProcess.start(tmp_path_factory.mktemp("scoring")) as process:
        yield process


def _load(scoring: ScoringProcess, key: str, requests: int) -> Benchmark:
    return run_benchmark(f"{scoring.url}/score", key, [YOUNG, OLD], requests=requests, concurrency=4)


@pytest.mark.parametrize("requests", [1, 2, 7, 300])
def test_every_request_succeeds(scoring: ScoringProcess, requests: int) -> None:
    """ApacheBench sends as many requests as were asked for, all succeed, and its times are believable however few they are."""
    found = _load(scoring, SECONDARY, requests)
    assert (found.tool, found.requests, found.failed, found.concurrency) == ("ab", requests, 0, min(4, requests))
    times = [found.p50_ms, found.p66_ms, found.p75_ms, found.p80_ms, found.p90_ms, found.p95_ms, found.p98_ms, found.p99_ms]
    assert times == sorted(times)
    assert 0 < found.p99_ms <= found.longest_ms < 60_000
    assert found.requests_per_second == pytest.approx(requests / found.seconds, rel=0.5)


def test_a_wrong_key(scoring: ScoringProcess) -> None:
    """Requests that are answered 401 count as failed."""
    found = _load(scoring, "wrong-key", 20)
    assert (found.requests, found.failed) == (20, 20)


def test_nobody_there() -> None:
    """An address where nothing listens is an error and no result."""
    with pytest.raises(BackendUnavailableError, match="does not answer"):
        run_benchmark("http://127.0.0.1:9/score", SECONDARY, [YOUNG], requests=4, concurrency=2)


def test_ctrl_c_ends_it(scoring: ScoringProcess, tmp_path: Path) -> None:
    """When the load test is interrupted ApacheBench does not go on."""
    program = (
        "from bankmlops.benchmark import run_benchmark\n"
        f"run_benchmark({scoring.url + '/score'!r}, {SECONDARY!r}, [{YOUNG!r}], requests=1_000_000, concurrency=2)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not (found := _children(process.pid)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    while [pid for pid in found if Path("/proc", pid).exists()]:  # whoever takes its parent's place may not have looked yet
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
