"""Counters and one histogram in Prometheus' text format (version 0.0.4), kept by the event loop alone, so without locks."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping

_BUCKETS_MS = (0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1000.0, 5000.0)


class Metrics:
    """What the service counts about the requests to one route; `name` is how the names of its metrics begin."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.requests: Counter[int] = Counter()
        self.rejections: Counter[str] = Counter()
        self.rows = 0
        self._buckets = [0] * (len(_BUCKETS_MS) + 1)
        self._sum_ms = 0.0

    def count(self, status: int, duration_ms: float, rows: int, reason: str) -> None:
        """One answered request; `reason` is empty where it was not refused."""
        self.requests[status] += 1
        self.rows += rows
        self._buckets[bisect_left(_BUCKETS_MS, duration_ms)] += 1
        self._sum_ms += duration_ms
        if reason:
            self.rejections[reason] += 1

    def lines(self) -> Iterator[str]:
        """The exposition."""
        name = self._name
        yield f"# TYPE {name}_requests_total counter"
        yield from (f'{name}_requests_total{{status="{status}"}} {n}' for status, n in sorted(self.requests.items()))
        yield f"# TYPE {name}_rejections_total counter"
        yield from (f'{name}_rejections_total{{reason="{reason}"}} {n}' for reason, n in sorted(self.rejections.items()))
        yield f"# TYPE {name}_rows_total counter"
        yield f"{name}_rows_total {self.rows}"
        yield from self._histogram(f"{name}_request_seconds")

    def _histogram(self, name: str) -> Iterator[str]:
        yield f"# TYPE {name} histogram"
        total = 0
        for bound, number in zip(_BUCKETS_MS, self._buckets, strict=False):
            total += number
            yield f'{name}_bucket{{le="{bound / 1e3:g}"}} {total}'
        total += self._buckets[-1]
        yield f'{name}_bucket{{le="+Inf"}} {total}'
        yield f"{name}_sum {self._sum_ms / 1e3:.6f}"
        yield f"{name}_count {total}"


def gauge_lines(gauges: Mapping[str, float]) -> Iterator[str]:
    """The values of this moment."""
    for name, value in gauges.items():
        yield f"# TYPE bankmlops_{name} gauge"
        yield f"bankmlops_{name} {value:g}"


def counter_lines(counters: Mapping[str, int]) -> Iterator[str]:
    """What only ever grows."""
    for name, value in counters.items():
        yield f"# TYPE bankmlops_{name}_total counter"
        yield f"bankmlops_{name}_total {value}"


def model_lines(model: Mapping[str, str]) -> Iterator[str]:
    """Which model answers, as the labels of an info metric."""
    labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in model.items())
    yield "# TYPE bankmlops_model_info gauge"
    yield f"bankmlops_model_info{{{labels}}} 1"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
