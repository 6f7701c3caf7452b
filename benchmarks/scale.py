"""Time and memory over the rows of a table: `make bench-scale`.

Each size goes the way of a user, a command and so a process after the other: a synthetic table is written as Parquet, registered,
and trained on with the same short budget. Of each command are told the wall clock, the peak of its largest process (`wait4`), and
the peak of all its processes together: the sum of their proportional set sizes, which counts a page that forked processes share
once, sampled four times a second. Above 300,000 rows a minute of budget a run looks at a stratified sample, whose size is in the
run's tag `sampled_rows` and in the table. A size that is in the log is not measured again. Ends with 1 where the memory of a
command passes the limit. Nothing else should run on the machine meanwhile; ten million rows want 1 GB of disk.

    python benchmarks/scale.py --rows 10000,100000,1000000,10000000 --write docs/automl.md
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import figures
import json_lines
import psutil

PACKAGES = ("bankmlops", "lightgbm", "pyarrow", "numpy", "mlflow")
MOST_ROWS = 100_000_000
_SAMPLE_SECONDS = 0.25
_STEPS = ("synthesize", "register", "train")
_HEADER = (
    "rows",
    "trained on",
    "write, s",
    "register, s",
    "train, s",
    "all, growth",
    "largest process, MB",
    "all processes, MB",
    "growth",
    "AUC",
)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a command took: seconds, and 10^6 bytes of its largest process and of all together at the worst moment."""

    seconds: float
    largest_mb: float
    together_mb: float


def main() -> None:
    """Measure what the log lacks, and print the table."""
    options = _options()
    for rows in options.rows:
        if rows not in _logged(options):
            _say(f"{rows:,} rows")
            json_lines.append(options.log, _measured(rows, options))
    markdown = _markdown(_logged(options), options)
    print(markdown)
    if options.write:
        figures.write_block(options.write, "scale", markdown)
    worst = max((_peak(line) for line in _logged(options).values()), default=0.0)
    if worst > options.limit_mb:
        raise SystemExit(f"{worst:,.0f} MB, where {options.limit_mb:,} are the limit")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=_sizes, default=(10_000, 100_000, 1_000_000), help="sizes, commas between them")
    parser.add_argument("--minutes", type=float, default=1.0, help="the budget of each training")
    parser.add_argument("--limit-mb", type=figures.whole_number(100, 1_000_000), default=8 * 2**30 // 10**6)
    parser.add_argument("--log", type=Path, default=Path("build/bench/scale.jsonl"))
    parser.add_argument("--folder", type=Path, default=Path("build/bench/scale"), help="for tables and workspaces; emptied")
    parser.add_argument("--write", type=Path, help="put the table into this page's block as well")
    return parser.parse_args()


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(sorted({figures.whole_number(1000, MOST_ROWS)(size) for size in text.split(",")}))


def _logged(options: argparse.Namespace) -> dict[int, dict[str, Any]]:
    """The log's lines of this budget by rows, the smallest first."""
    found = {line["rows"]: line for line in json_lines.read(options.log) if line["minutes"] == options.minutes}
    return {rows: found[rows] for rows in sorted(found) if rows in options.rows}


def _measured(rows: int, options: argparse.Namespace) -> dict[str, Any]:
    folder = options.folder / str(rows)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    table = folder / "table.parquet"
    commands: Mapping[str, Sequence[str]] = {
        "synthesize": ["data", "synthesize", str(table), "--rows", str(rows), "--seed", "7"],
        "register": ["data", "register", str(table), "--name", "scale", "--label", "y", "--synthetic"],
        "train": ["automl", "run", "--dataset", "scale", "--minutes", str(options.minutes), "--no-early-stopping"],
    }
    try:
        spent, run = {}, {}
        for step, words in commands.items():
            spent[step], run = _command(folder, words)
            _say(f"  {step}: {spent[step].seconds:.1f} s, {spent[step].together_mb:,.0f} MB")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "rows": rows,
        "minutes": options.minutes,
        "trained_on": int(run["tags"].get("sampled_rows", rows)),
        "trials": run["trials"],
        "auc": run["metrics"]["AUC_weighted"],
        "spent": {step: asdict(each) for step, each in spent.items()},
        **figures.facts(PACKAGES),
    }


def _command(folder: Path, words: Sequence[str]) -> tuple[Spent, dict[str, Any]]:
    """Run `bankmlops` with these words, and read what it prints."""
    started = time.perf_counter()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bankmlops", "--json", "--workspace", str(folder / "workspace"), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        watch = _Watch(process.pid)
        watch.start()
        printed = process.stdout.read() if process.stdout else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    watch.stop()
    if process.returncode:
        raise SystemExit(f"bankmlops {' '.join(words)} ended with {process.returncode}:\n{(folder / 'log').read_text()}")
    largest = max(usage.ru_maxrss * 1024, watch.largest)
    return Spent(seconds, largest / 1e6, watch.together / 1e6), json.loads(printed)


class _Watch(threading.Thread):
    """Samples the memory of a process and of all that it started, in bytes."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.largest = 0
        self.together = 0
        self._pid = pid
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            sizes = [_size(pid) for pid in self._family()]
            self.together = max(self.together, sum(pss for pss, _ in sizes))
            self.largest = max(self.largest, *(rss for _, rss in sizes), 0)

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def _family(self) -> list[int]:
        with suppress(psutil.Error):
            return [self._pid, *(child.pid for child in psutil.Process(self._pid).children(recursive=True))]
        return []


def _size(pid: int) -> tuple[int, int]:
    """Proportional and resident set size, in bytes; 0 where the process has ended."""
    found = {"Pss": 0, "Rss": 0}
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
            name, value = line.split(":")
            if name in found:
                found[name] = int(value.split()[0]) * 1024
    return found["Pss"], found["Rss"]


def _markdown(lines: Mapping[int, Mapping[str, Any]], options: argparse.Namespace) -> str:
    if not lines:
        return "Nothing is measured."
    rows: list[list[str]] = []
    before: Mapping[str, Any] | None = None
    for count, line in lines.items():
        times = [line["spent"][step]["seconds"] for step in _STEPS]
        largest = max(line["spent"][step]["largest_mb"] for step in _STEPS)
        growths = ["", ""] if before is None else [_growth(_seconds(line), _seconds(before)), _growth(_peak(line), _peak(before))]
        cells = [f"{count:,}", f"{line['trained_on']:,}", *(f"{seconds:.1f}" for seconds in times), growths[0]]
        rows.append([*cells, f"{largest:,.0f}", f"{_peak(line):,.0f}", growths[1], f"{line['auc']:.4f}"])
        before = line
    first = next(iter(lines.values()))
    versions = ", ".join(f"{name} {number}" for name, number in first["versions"].items())
    more = f"a budget of {options.minutes:g} min each; memory is the peak of the worst of the three commands; {versions}"
    return f"{figures.caption(first, more)}\n\n{figures.table(_HEADER, rows)}"


def _seconds(line: Mapping[str, Any]) -> float:
    return float(sum(line["spent"][step]["seconds"] for step in _STEPS))


def _peak(line: Mapping[str, Any]) -> float:
    return float(max(line["spent"][step]["together_mb"] for step in _STEPS))


def _growth(now: float, before: float) -> str:
    return f"x {now / before:.2f}"


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
