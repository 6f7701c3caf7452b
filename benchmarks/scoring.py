"""The scoring service beside its yardsticks and peers, on one small real model: `make bench-scoring`.

Every server runs with the same bundle (or the pickle that it was exported from), one worker each if not said otherwise; they take
turns under the same load, so that ratios are of figures taken seconds apart. Prints medians over the rounds and ratios of ours to
each, of requests a second and of processor time a request, and then what the service's own records cost. Nothing else should run
on the machine meanwhile. Called without options it takes about four minutes; where `make bench-peers` has installed other
projects' servers, each of those is measured too, alone beside ours, a minute each.

    python benchmarks/scoring.py --rounds 5 --seconds 3 --out build/bench/scoring.json --write docs/performance.md
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import figures
import load
import peers
import records
from small_model import train

CONNECTIONS = (1, 8, 32)
ROWS = 2
WARM_UP_REQUESTS = 30
PACKAGES = ("bankmlops", "uvicorn", "onnxruntime", "scikit-learn", "lightgbm", "azureml-inference-server-http")
_BEGAN = time.monotonic()
Figures = dict[str, Any]


def main() -> None:
    """Serve, put load, and print the table."""
    options, before = _options(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="bankmlops-bench-") as folder:
        say("the model" if options.bundle else f"a model, trained in {options.train_seconds} s")
        bundle, pickle = _model(options, Path(folder))
        manifest = json.loads((bundle / "model.json").read_text(encoding="utf-8"))
        body = json.dumps({"data": [manifest["input_example"]] * ROWS}).encode()
        found = peers.peers(bundle, pickle, Path(folder))
        say(f"{manifest['algorithm']}; {options.starts} cold starts of each of {len(found)} servers")
        starts = {peer.name: _cold_starts(peer, body, options.starts) for peer in found}
        servers = _measure(found, body, options.rounds, options.seconds)
        for peer in peers.others(bundle, pickle, Path(folder)):
            say(f"{peer.name}, beside {peers.OURS}")
            try:
                pair = _measure([found[0], peer], body, options.rounds, options.seconds)
            except SystemExit as failure:
                say(f"left out: {failure}")
                continue
            servers[peer.name] = {**pair[peer.name], "beside": pair[peers.OURS]}
            starts[peer.name] = [pair[peer.name]["cold_start_s"]]
        costs = records.measure(records.records(bundle, Path(folder) / "records"), body, options.record_rounds, say)
    for name, values in servers.items():
        values["cold_start_s"] = statistics.median(starts[name])
    document = {
        **figures.facts(PACKAGES),
        "tool": load.tool(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "starts": options.starts,
        "rows": ROWS,
        "algorithm": manifest["algorithm"],
        "load_average": before,
        "servers": servers,
        "ratios": {name: _ratios(servers, name, "requests_per_second") for name in servers if name != peers.OURS},
        "cpu_ratios": {name: _ratios(servers, name, "cpu_s") for name in servers if name != peers.OURS},
        "record_rounds": options.record_rounds,
        "records": costs,
    }
    figures.write_json(options.out, document)
    markdown = _markdown(document)
    print(markdown)
    if options.write:
        figures.write_block(options.write, "scoring, a bundle" if options.bundle else "scoring", markdown)


def say(what: str) -> None:
    """A line of progress, on stderr."""
    print(f"{time.monotonic() - _BEGAN:6.1f} s  {what}", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="serve this bundle (model.pkl beside it); without, one is trained")
    parser.add_argument("--train-seconds", type=figures.whole_number(5, 600), default=15, help="the budget of that training")
    parser.add_argument("--rounds", type=figures.whole_number(1, 50), default=3)
    parser.add_argument("--seconds", type=figures.whole_number(1, 60), default=2, help="of load, each time")
    rounds = "a second each, of what the service's own records cost"
    parser.add_argument("--record-rounds", type=figures.whole_number(1, 50), default=9, help=rounds)
    parser.add_argument("--starts", type=figures.whole_number(1, 20), default=3, help="cold starts of each server")
    parser.add_argument("--out", type=Path, default=Path("build/bench/scoring.json"))
    parser.add_argument("--write", type=Path, help="put the table into this page's block as well: that of a bundle, with one")
    return parser.parse_args()


def _model(options: argparse.Namespace, folder: Path) -> tuple[Path, Path | None]:
    """The bundle, and the pickle that it was exported from."""
    bundle = options.bundle.absolute() if options.bundle else train(folder, options.train_seconds)
    if not (bundle / "model.json").is_file():
        raise SystemExit(f"{bundle} is no bundle: it has no model.json")
    pickle = bundle.parent / "model.pkl"
    return bundle, pickle if pickle.is_file() else None


def _cold_starts(peer: peers.Peer, body: bytes, count: int) -> list[float]:
    """Seconds from the process's start to its first answer, a few times."""
    times = []
    for _ in range(count):
        with peers.serving(peer, body) as server:
            times.append(server.cold_start_s)
    return times


def _measure(found: Sequence[peers.Peer], body: bytes, rounds: int, seconds: int) -> dict[str, Figures]:
    """Every round asks every server at every number of connections; who begins changes from round to round."""
    loads: dict[str, dict[str, list[Figures]]] = {peer.name: {str(count): [] for count in CONNECTIONS} for peer in found}
    with ExitStack() as stack:
        servers = [stack.enter_context(peers.serving(peer, body)) for peer in found]
        _check_same_answers(servers)
        for server in servers:
            _warm_up(server)
        for turn in range(rounds):
            first = turn % len(servers)
            for count in CONNECTIONS:
                say(f"round {turn + 1} of {rounds}: {count} connections")
                for server in [*servers[first:], *servers[:first]]:
                    loads[server.peer.name][str(count)].append(peers.loaded(server, count, seconds))
        apart = {server.peer.name: {"rss_mb": server.rss_mb(), "cold_start_s": server.cold_start_s} for server in servers}
    return {name: {**apart[name], "connections": _medians(each), "loads": each} for name, each in loads.items()}


def _check_same_answers(servers: Sequence[peers.Serving]) -> None:
    """Who does not do the work is no peer."""
    wanted = servers[0].answer
    wrong = [server.peer.name for server in servers if server.answer != wanted and server.peer.name != peers.FIXED]
    if wrong:
        raise SystemExit(f"{wrong[0]} answers otherwise than {peers.OURS}: {wanted}")


def _warm_up(server: peers.Serving) -> None:
    for _ in range(WARM_UP_REQUESTS):
        peers.ask(server.target)


def _medians(loads: Mapping[str, Sequence[Figures]]) -> dict[str, Figures]:
    medians = ("requests_per_second", "p50_ms", "p99_ms", "cpu_s")
    return {
        count: {name: statistics.median(each[name] for each in values) for name in medians}
        | {"failed": sum(each["failed"] for each in values)}
        for count, values in loads.items()
    }


def _ratios(servers: Mapping[str, Figures], name: str, figure: str) -> dict[str, float]:
    """Ours over theirs, round by round, and the median of that."""
    beside = servers[name].get("beside", servers[peers.OURS])
    return {
        count: statistics.median(
            ours[figure] / theirs[figure]
            for ours, theirs in zip(beside["loads"][count], servers[name]["loads"][count], strict=True)
        )
        for count in map(str, CONNECTIONS)
    }


def _markdown(document: Figures) -> str:
    more = (
        f"{document['tool']} on loopback, {document['rows']} rows a request, one worker if not said, "
        f"model {document['algorithm']}, "
        f"medians of {document['rounds']} rounds of {document['seconds']} s and {document['starts']} cold starts, "
        f"the machine's load average before it {document['load_average']:.1f}"
    )
    counts = [f"{count} conn." for count in CONNECTIONS]
    header = [
        "server",
        *(f"req/s, {count}" for count in counts),
        "CPU s, 10,000 req. at 8",
        "p50 ms at 1",
        "p99 ms at 1",
        "cold start s",
        "RSS MB",
        "failed",
    ]
    rows = [_row(name, values) for name, values in document["servers"].items()]
    tables = (
        figures.table(header, rows),
        figures.table(["ratio of req/s", *counts], _ratio_rows(document["ratios"])),
        figures.table(["ratio of CPU a request", *counts], _ratio_rows(document["cpu_ratios"])),
        f"What its own records cost, medians of {document['record_rounds']} rounds of 1 s, each beside the first:",
        records.table(document["records"]),
    )
    return "\n\n".join([figures.caption(document, more), *tables])


def _ratio_rows(ratios: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    return [[f"{peers.OURS} / {name}", *map(figures.number, each.values())] for name, each in ratios.items()]


def _row(name: str, values: Figures) -> list[str]:
    each = values["connections"]
    rates = [figures.number(each[str(count)]["requests_per_second"]) for count in CONNECTIONS]
    failed = sum(found["failed"] for found in each.values())
    times = (each["1"]["p50_ms"], each["1"]["p99_ms"], values["cold_start_s"], values["rss_mb"])
    return [name, *rates, figures.number(each["8"]["cpu_s"]), *map(figures.number, times), str(failed)]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
