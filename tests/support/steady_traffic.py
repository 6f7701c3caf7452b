"""One small request after another at an endpoint, from a thread, while a test does something to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx


@dataclass
class Traffic:
    """What came of the requests so far: how many were answered with as many labels as rows, and what was said otherwise."""

    answered: int = 0
    failures: list[str] = field(default_factory=list)


@contextmanager
def steady_traffic(
    address: str, key: str, rows: Sequence[Mapping[str, object]], pause_seconds: float = 0.02
) -> Iterator[Traffic]:
    """Ask for these rows again and again, until the end of the block. The first answer is there when the block begins."""
    traffic, leaving = Traffic(), threading.Event()
    begun = threading.Event()
    with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False) as client:

        def ask_again_and_again() -> None:
            while not leaving.is_set():
                _ask(client, address, rows, traffic)
                begun.set()
                leaving.wait(pause_seconds)

        thread = threading.Thread(target=ask_again_and_again, name="traffic", daemon=True)
        thread.start()
        try:
            assert begun.wait(60)
            yield traffic
        finally:
            leaving.set()
            thread.join(60)


def _ask(client: httpx.Client, address: str, rows: Sequence[Mapping[str, object]], traffic: Traffic) -> None:
    try:
        answer = client.post(address, json={"data": list(rows)})
        labels = json.loads(answer.json())["result"] if answer.is_success else None  # JSON in a JSON string, as Azure's
        if labels is None or len(labels) != len(rows):
            traffic.failures.append(f"HTTP {answer.status_code}: {answer.text[:200]}")
        else:
            traffic.answered += 1
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        traffic.failures.append(repr(error))
