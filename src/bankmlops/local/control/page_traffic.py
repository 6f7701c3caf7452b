"""What an endpoint's own metrics say of its traffic: how much was asked, how much failed, and how long the answers took."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx

from bankmlops.local.loopback import OPTIONS

_SECONDS = 1.0
_MAXIMUM_BYTES = 256 * 1024
_SAMPLE = re.compile(r'^bankmlops_(requests_total|request_seconds_bucket)\{(?:status|le)="([^"]+)"\} (\d+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Since the endpoint's process started. Latencies are in milliseconds, None without a request."""

    requests: int
    failed: int
    p50_ms: float | None
    p95_ms: float | None


def read_traffic(scoring_uri: str) -> Traffic | None:
    """The traffic of an endpoint of this machine; None where it does not say."""
    address = scoring_uri.removesuffix("/score") + "/metrics"
    try:
        answer = httpx.get(address, timeout=_SECONDS, **OPTIONS)
    except httpx.HTTPError:
        return None
    return parse_traffic(answer.text[:_MAXIMUM_BYTES]) if answer.is_success else None


def parse_traffic(exposition: str) -> Traffic:
    """The traffic out of Prometheus' text format, as the scoring service writes it."""
    samples = _SAMPLE.findall(exposition)
    answered = {int(status): int(number) for name, status, number in samples if name == "requests_total"}
    buckets = [(float(bound), int(number)) for name, bound, number in samples if name == "request_seconds_bucket"]
    return Traffic(sum(answered.values()), _failed(answered), _quantile(buckets, 0.5), _quantile(buckets, 0.95))


def _failed(answered: Mapping[int, int]) -> int:
    return sum(number for status, number in answered.items() if status >= 400)


def _quantile(buckets: Sequence[tuple[float, int]], share: float) -> float | None:
    """The quantile in milliseconds, by straight lines between the bounds, as Prometheus' `histogram_quantile` does."""
    total = buckets[-1][1] if buckets else 0
    if not total:
        return None
    rank, lower, below = share * total, 0.0, 0
    for bound, number in buckets:
        if number >= rank:
            finite = lower if bound == float("inf") else bound
            return 1000 * (lower + (finite - lower) * (rank - below) / max(number - below, 1))
        lower, below = bound, number
    return None
