"""What the scoring service's own records cost it: the same service with one more each time, under the same load in turns.

The base has no request log at all. Throughput is what a caller sees of it; processor time a request is steadier, and counts the
threads that write as well.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import figures
import load
import peers

CONNECTIONS = 8
WARM_UP_SECONDS = 1
BARE = "no record of requests"
Figures = dict[str, Any]


def records(bundle: Path, folder: Path) -> list[peers.Peer]:
    """The base, and what is compared with it; `folder` takes their files."""
    folder.mkdir()
    return [
        peers.ours(BARE, bundle, folder / "bare", program=peers.UNLOGGED),
        peers.ours("request log", bundle, folder / "log"),
        peers.ours("request log, app insights", bundle, folder / "insights", settings={"app_insights": True}),
        peers.ours("request log, model data collector", bundle, folder / "collector", settings={"collect_model_data": True}),
    ]


def measure(found: Sequence[peers.Peer], body: bytes, rounds: int, say: Callable[[str], None]) -> dict[str, Figures]:
    """Every round asks every server for a second; who begins changes from round to round."""
    loads: dict[str, list[Figures]] = {peer.name: [] for peer in found}
    with ExitStack() as stack:
        servers = [stack.enter_context(peers.serving(peer, body)) for peer in found]
        for server in servers:
            load.put_load(server.target, CONNECTIONS, WARM_UP_SECONDS)
        say(f"{rounds} rounds of what its own records cost")
        for turn in range(rounds):
            first = turn % len(servers)
            for server in [*servers[first:], *servers[:first]]:
                loads[server.peer.name].append(peers.loaded(server, CONNECTIONS, 1))
    return {name: _compared(each, loads[BARE]) for name, each in loads.items()}


def table(found: dict[str, Figures]) -> str:
    """What each costs, in Markdown."""
    rows = [
        [name, *(figures.number(values[figure]) for figure in ("requests_per_second", "cpu_s", "rate_ratio", "cpu_ratio"))]
        for name, values in found.items()
    ]
    header = ["bankmlops with", f"req/s, {CONNECTIONS} conn.", "CPU s, 10,000 req.", "ratio of req/s", "ratio of CPU"]
    return figures.table(header, rows)


def _compared(loads: Sequence[Figures], bare: Sequence[Figures]) -> Figures:
    """Medians, and the medians over the rounds of this one's figure over the base's."""
    pairs = {"requests_per_second": "rate_ratio", "cpu_s": "cpu_ratio"}
    medians = {figure: statistics.median(each[figure] for each in loads) for figure in pairs}
    ratios = {
        name: statistics.median(each[figure] / base[figure] for each, base in zip(loads, bare, strict=True))
        for figure, name in pairs.items()
    }
    return {**medians, **ratios, "failed": sum(each["failed"] for each in loads)}
