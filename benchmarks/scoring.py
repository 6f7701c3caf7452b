"""The scoring service beside its yardsticks and peers, on one small real model: `make bench-scoring`.

Every server runs with the same bundle (or the pickle that it was exported from), one worker each; they take turns under the same
load, so that ratios are of figures taken seconds apart. Prints medians over the rounds and ratios of ours to each. Nothing else
should run on the machine meanwhile.

    python benchmarks/scoring.py --rounds 5 --seconds 3 --out build/bench/scoring.json --write docs/performance.md
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import figures
import load
import peers
from raw_client import Connection

from bankmlops.automl import Trial
from bankmlops.automl.run import run_automl
from bankmlops.datasets import columns_of, read_table
from bankmlops.datasets.synthetic import synthesize
from bankmlops.types import AutoMLConfig, Dataset

CONNECTIONS = (1, 8, 32)
ROWS = 2
TABLE_ROWS = 4000
WARM_UP_REQUESTS = 30
PACKAGES = ("bankmlops", "uvicorn", "onnxruntime", "scikit-learn", "lightgbm", "azureml-inference-server-http")
Figures = dict[str, Any]


def main() -> None:
    """Serve, put load, and print the table."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="bankmlops-bench-") as folder:
        bundle, pickle = _model(options, Path(folder))
        manifest = json.loads((bundle / "model.json").read_text(encoding="utf-8"))
        body = json.dumps({"data": [manifest["input_example"]] * ROWS}).encode()
        found = peers.peers(bundle, pickle, Path(folder))
        starts = {peer.name: _cold_starts(peer, body, options.starts) for peer in found}
        servers = _measure(found, body, options.rounds, options.seconds)
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
        "servers": servers,
        "ratios": {name: _ratios(servers, name) for name in servers if name != peers.OURS},
    }
    figures.write_json(options.out, document)
    markdown = _markdown(document)
    print(markdown)
    if options.write:
        figures.write_block(options.write, "scoring", markdown)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="serve this bundle (model.pkl beside it); without, one is trained")
    parser.add_argument("--train-seconds", type=figures.whole_number(5, 600), default=15, help="the budget of that training")
    parser.add_argument("--rounds", type=figures.whole_number(1, 50), default=5)
    parser.add_argument("--seconds", type=figures.whole_number(1, 60), default=3, help="of load, each time")
    parser.add_argument("--starts", type=figures.whole_number(1, 20), default=5, help="cold starts of each server")
    parser.add_argument("--out", type=Path, default=Path("build/bench/scoring.json"))
    parser.add_argument("--write", type=Path, help="put the table into this page's block as well")
    return parser.parse_args()


class _Silent:
    def trial_ended(self, trial: Trial) -> None:
        """Nothing is shown."""

    def progressed(self, fraction: float, message: str) -> None:
        """Nothing is shown."""


def _model(options: argparse.Namespace, folder: Path) -> tuple[Path, Path | None]:
    """The bundle, and the pickle that it was exported from."""
    bundle = options.bundle.absolute() if options.bundle else _train(folder, options.train_seconds)
    if not (bundle / "model.json").is_file():
        raise SystemExit(f"{bundle} is no bundle: it has no model.json")
    pickle = bundle.parent / "model.pkl"
    return bundle, pickle if pickle.is_file() else None


def _train(folder: Path, seconds: float) -> Path:
    table = folder / "bank.csv"
    synthesize(table, TABLE_ROWS, 1)
    columns = columns_of(read_table(table))
    dataset = Dataset("bench", "1", TABLE_ROWS, tuple(columns), "y", "0" * 64)
    run_automl(columns, AutoMLConfig(dataset), folder / "outputs", _Silent(), seconds=seconds)
    return folder / "outputs" / "bundle"


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
                for server in [*servers[first:], *servers[:first]]:
                    loads[server.peer.name][str(count)].append(load.put_load(server.target, count, seconds))
        memory = {server.peer.name: server.rss_mb() for server in servers}
    return {name: {"rss_mb": memory[name], "connections": _medians(each), "loads": each} for name, each in loads.items()}


def _check_same_answers(servers: Sequence[peers.Serving]) -> None:
    """Who does not do the work is no peer."""
    wanted = servers[0].answer
    wrong = [server.peer.name for server in servers if server.answer != wanted and server.peer.name != peers.FIXED]
    if wrong:
        raise SystemExit(f"{wrong[0]} answers otherwise than {peers.OURS}: {wanted}")


def _warm_up(server: peers.Serving) -> None:
    with Connection(server.target.port) as connection:
        for _ in range(WARM_UP_REQUESTS):
            connection.exchange(server.target.content())


def _medians(loads: Mapping[str, Sequence[Figures]]) -> dict[str, Figures]:
    medians = ("requests_per_second", "p50_ms", "p99_ms")
    return {
        count: {name: statistics.median(each[name] for each in values) for name in medians}
        | {"failed": sum(each["failed"] for each in values)}
        for count, values in loads.items()
    }


def _ratios(servers: Mapping[str, Figures], name: str) -> dict[str, float]:
    """Ours over theirs, round by round, and the median of that."""
    return {
        count: statistics.median(
            ours["requests_per_second"] / theirs["requests_per_second"]
            for ours, theirs in zip(servers[peers.OURS]["loads"][count], servers[name]["loads"][count], strict=True)
        )
        for count in map(str, CONNECTIONS)
    }


def _markdown(document: Figures) -> str:
    more = (
        f"{document['tool']} on loopback, {document['rows']} rows a request, one worker, model {document['algorithm']}, "
        f"medians of {document['rounds']} rounds of {document['seconds']} s and {document['starts']} cold starts"
    )
    counts = [f"{count} conn." for count in CONNECTIONS]
    header = [
        "server",
        *(f"req/s, {count}" for count in counts),
        "p50 ms at 1",
        "p99 ms at 1",
        "cold start s",
        "RSS MB",
        "failed",
    ]
    rows = [_row(name, values) for name, values in document["servers"].items()]
    ratios = [[f"{peers.OURS} / {name}", *map(figures.number, each.values())] for name, each in document["ratios"].items()]
    tables = (figures.table(header, rows), figures.table(["ratio of req/s", *counts], ratios))
    return "\n\n".join([figures.caption(document, more), *tables])


def _row(name: str, values: Figures) -> list[str]:
    each = values["connections"]
    rates = [figures.number(each[str(count)]["requests_per_second"]) for count in CONNECTIONS]
    failed = sum(found["failed"] for found in each.values())
    times = (each["1"]["p50_ms"], each["1"]["p99_ms"], values["cold_start_s"], values["rss_mb"])
    return [name, *rates, *map(figures.number, times), str(failed)]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
