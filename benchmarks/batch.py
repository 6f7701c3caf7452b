"""Batch scoring beside bare onnxruntime: `make bench-batch`.

One small model, found by AutoML (or `--bundle`), and a synthetic table as CSV and as Parquet. The yardstick is the graph alone,
over the very matrix that the table becomes, in memory already, with every core and in slices of the size that suits it best:
what is left of that rate when the rows come from a file, are checked, and the answers go to a file, is the ratio.
Each of ours runs in a process of its own, so that its memory is its own. Nothing else should run on the machine meanwhile.
No round begins that would end after `--at-most` seconds, and there are no more rows than a round has time for; ten million want
1.3 GB of disk.

    python benchmarks/batch.py --rows 10000000 --rounds 3 --write docs/performance.md
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import figures
import numpy
from small_model import train

from bankmlops.batch import score_files
from bankmlops.batch.columns import fill, prepare
from bankmlops.batch.reading import chunks
from bankmlops.datasets.synthetic import synthesize
from bankmlops.scoring.bundle import Bundle, load_bundle, open_session

PACKAGES = ("bankmlops", "onnxruntime", "pyarrow", "numpy")
BARE_SLICES = (1024, 4096, 16384)
MATRIX_ROWS = 65_536
BARE_SECONDS = 1.0
WARM_UP_ROWS = 1000
_HEADER = ("what", "rows/s", "ratio", "peak RSS MB", "of it since 1,000 rows were scored, MB")
_BEGAN = time.monotonic()
Figures = dict[str, Any]


def main() -> None:
    """Measure, and print the table."""
    options = _options()
    if options.one:
        print(json.dumps(_one(options.bundle, options.one, options.output)))
        return
    with tempfile.TemporaryDirectory(prefix="bankmlops-bench-") as folder:
        bundle = options.bundle.absolute() if options.bundle else train(Path(folder), options.train_seconds)
        loaded = load_bundle(bundle)
        matrix = _matrix(loaded, Path(folder))
        rows = _affordable_rows(options.rows, _bare_rate(loaded, matrix), options.at_most)
        tables = _tables(Path(folder), rows)
        document = {
            **figures.facts(PACKAGES),
            "rows": rows,
            "algorithm": loaded.algorithm,
            **_measure(bundle, matrix, tables, options.rounds, options.at_most),
        }
    figures.write_json(options.out, document)
    markdown = _markdown(document)
    print(markdown)
    if options.write:
        figures.write_block(options.write, "batch", markdown)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="score with this bundle; without, one is trained")
    parser.add_argument("--train-seconds", type=figures.whole_number(5, 600), default=15, help="the budget of that training")
    parser.add_argument("--rows", type=figures.whole_number(1000, 100_000_000), default=1_000_000)
    parser.add_argument("--rounds", type=figures.whole_number(1, 20), default=3)
    parser.add_argument("--at-most", type=figures.whole_number(30, 3600), default=270, help="seconds, from the start to the end")
    parser.add_argument("--out", type=Path, default=Path("build/bench/batch.json"))
    parser.add_argument("--write", type=Path, help="put the table into this page's block as well")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _tables(folder: Path, rows: int) -> dict[str, Path]:
    """The same rows as CSV and as Parquet."""
    paths = {"CSV": folder / "rows.csv", "Parquet": folder / "rows.parquet"}
    for name, path in paths.items():
        _say(f"{rows:,} rows of {name}")
        synthesize(path, rows, 7)
    return paths


def _say(what: str) -> None:
    print(f"{time.monotonic() - _BEGAN:6.1f} s  {what}", file=sys.stderr, flush=True)


def _measure(bundle: Path, matrix: Any, tables: dict[str, Path], rounds: int, at_most: float) -> Figures:
    loaded = load_bundle(bundle)
    bare: list[float] = []
    ours: dict[str, list[Figures]] = {name: [] for name in tables}
    longest = 0.0
    while len(bare) < rounds and (not bare or time.monotonic() - _BEGAN + longest < at_most):
        began = time.monotonic()
        _say(f"round {len(bare) + 1} of {rounds}")
        before = _bare_rate(loaded, matrix)
        for name, path in tables.items():
            ours[name].append(_in_a_process(bundle, path))
        bare.append(statistics.mean((before, _bare_rate(loaded, matrix))))
        longest = max(longest, time.monotonic() - began)
    base = statistics.median(bare)
    ratios = {
        name: statistics.median(each["rows_per_second"] / there for each, there in zip(values, bare, strict=True))
        for name, values in ours.items()
    }
    return {"rounds": len(bare), "bare_rows_per_second": base, "ours": ours, "ratios": ratios}


def _affordable_rows(wanted: int, rate: float, at_most: float) -> int:
    """No more than a round over both tables has time for, where a row of ours takes twice what a bare one does."""
    left = at_most - (time.monotonic() - _BEGAN)
    return max(min(wanted, int(left * rate / 4)), WARM_UP_ROWS)


def _matrix(bundle: Bundle, folder: Path) -> Any:
    """float32 [rows, width] of a small table."""
    path = folder / "bare.parquet"
    synthesize(path, MATRIX_ROWS, 7)
    (chunk,) = chunks([path], bundle.specification)
    rows = chunk.load()
    matrix = numpy.empty((rows.count, bundle.specification.width), dtype=numpy.float32)
    fill(matrix, prepare(bundle.specification, rows.columns), 0, rows.count)
    return matrix


def _bare_rate(bundle: Bundle, matrix: Any) -> float:
    """Rows a second of the graph alone, with the slice size that is best."""
    session = open_session(bundle, threads=len(os.sched_getaffinity(0)))
    return max(_rate_in_slices(session, matrix, size) for size in BARE_SLICES)


def _rate_in_slices(session: Any, matrix: Any, size: int) -> float:
    slices = itertools.cycle(matrix[first : first + size] for first in range(0, len(matrix), size))
    session.run(["probabilities"], {"features": matrix[:size]})
    rows, began = 0, time.perf_counter()
    while (seconds := time.perf_counter() - began) < BARE_SECONDS:
        part = next(slices)
        session.run(["probabilities"], {"features": part})
        rows += len(part)
    return rows / seconds


def _in_a_process(bundle: Path, path: Path) -> Figures:
    output = path.with_suffix(".scored.parquet")
    command = [sys.executable, __file__, "--bundle", str(bundle), "--one", str(path), "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: Figures = json.loads(done.stdout)
    return found


def _one(bundle: Path, path: Path, output: Path) -> Figures:
    """One whole run, from the file to the output's last byte; imports and the model's loading apart."""
    loaded = load_bundle(bundle)
    few = path.with_name("few.csv")
    synthesize(few, WARM_UP_ROWS, 1)
    score_files(loaded, few, few.with_suffix(".parquet"))
    before = _peak_mb()
    began = time.perf_counter()
    result = score_files(loaded, path, output)
    seconds = time.perf_counter() - began
    peak = _peak_mb()
    return {"rows_per_second": result.rows / seconds, "peak_mb": peak, "grown_mb": peak - before}


def _peak_mb() -> float:
    """The most that was resident. `getrusage` would count what the parent had when it started this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(peak) / 1024


def _markdown(document: Figures) -> str:
    rows = [["bare onnxruntime, matrix in memory", figures.number(document["bare_rows_per_second"]), "1", "–", "–"]]
    for name, values in document["ours"].items():
        rate = statistics.median(each["rows_per_second"] for each in values)
        memory = [figures.number(max(each[figure] for each in values)) for figure in ("peak_mb", "grown_mb")]
        rows.append([f"`score` of {name}", figures.number(rate), figures.number(document["ratios"][name]), *memory])
    more = f"{document['rows']:,} rows, model {document['algorithm']}, medians of {document['rounds']} rounds"
    return "\n\n".join([figures.caption(document, more), figures.table(_HEADER, rows)])


if __name__ == "__main__":
    main()
