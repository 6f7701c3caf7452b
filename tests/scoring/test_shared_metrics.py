"""The workers' metrics as one: sums of what each left, whoever is asked, and nothing lost with a worker that ended."""

from __future__ import annotations

import os
import signal

import pytest

from bankmlops.errors import ConflictError
from bankmlops.scoring.shared_metrics import HALF_BYTES, SharedMetrics, add_up, lasting

ONE = """# TYPE requests_total counter
requests_total{status="200"} 3
# TYPE seconds histogram
seconds_bucket{le="+Inf"} 3
seconds_sum 0.25
# TYPE waiting gauge
waiting 2
# TYPE model_info gauge
model_info{version="1"} 1
"""
OTHER = """# TYPE requests_total counter
requests_total{status="200"} 4
requests_total{status="400"} 1
# TYPE seconds histogram
seconds_bucket{le="+Inf"} 5
seconds_sum 0.5
# TYPE waiting gauge
waiting 1
# TYPE model_info gauge
model_info{version="1"} 1
"""
BOTH = """# TYPE requests_total counter
requests_total{status="200"} 7
requests_total{status="400"} 1
# TYPE seconds histogram
seconds_bucket{le="+Inf"} 8
seconds_sum 0.75
# TYPE waiting gauge
waiting 3
# TYPE model_info gauge
model_info{version="1"} 1
"""


def test_sums() -> None:
    """Equal samples are added, each family stays under its own head, and an info metric stays what it is."""
    assert add_up([ONE, OTHER]) == BOTH
    assert add_up([ONE]) == ONE
    assert add_up(["", ONE, ""]) == ONE


def test_what_lasts() -> None:
    """Counters and histograms outlive a worker, gauges don't."""
    assert lasting(ONE) == ONE.partition("# TYPE waiting")[0]


def test_another_process_reads_it() -> None:
    """What a forked worker leaves is read by another that shares the memory."""
    metrics = SharedMetrics(4)
    mine, other = metrics.take(), metrics.take()
    pid = os.fork()
    if pid == 0:
        metrics.publish(other, OTHER)
        os._exit(0)
    os.waitpid(pid, 0)
    assert metrics.gather(mine, ONE) == BOTH


def test_a_worker_that_ended() -> None:
    """Its counts go on, its gauges are gone, and its place begins empty for the next."""
    metrics = SharedMetrics(2)
    mine, other = metrics.take(), metrics.take()
    metrics.publish(other, OTHER)
    metrics.give_back(other)
    after = metrics.gather(mine, ONE)
    assert 'requests_total{status="200"} 7' in after
    assert "waiting 2" in after
    next_one = metrics.take()
    assert metrics.gather(mine, ONE) == after
    metrics.publish(next_one, OTHER)
    assert 'requests_total{status="200"} 11' in metrics.gather(mine, ONE)


def test_a_writing_that_is_cut_off() -> None:
    """Whoever reads while a worker writes, or after it was killed in the midst, reads a whole text."""
    whole = {add_up([ONE, text * 20]) for text in (ONE, OTHER)} | {ONE}
    for _ in range(10):
        metrics = SharedMetrics(2)
        mine, other = metrics.take(), metrics.take()
        pid = os.fork()
        if pid == 0:
            while True:
                metrics.publish(other, ONE * 20)
                metrics.publish(other, OTHER * 20)
        try:
            assert {metrics.gather(mine, ONE) for _ in range(30)} <= whole
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        assert metrics.gather(mine, ONE) in whole


def test_bounds() -> None:
    """There are as many places as were asked for, and a text that is too long for one is not left."""
    metrics = SharedMetrics(2)
    mine, other = metrics.take(), metrics.take()
    with pytest.raises(ConflictError, match="try again"):
        metrics.take()
    metrics.publish(other, OTHER)
    metrics.publish(other, ONE + "#" * HALF_BYTES)
    assert metrics.gather(mine, ONE) == BOTH
