"""The budget is a contract: what was asked, and what the wall clock says: `make bench-contract`.

A run is submitted as a user does, on the Bank Marketing table (its stand-in where that is not to be had), and timed from the
request to the logged model. It may take 5 % or 5 s more than it was given, whichever is more. Each run is a line of a log as soon
as it is there; a run that the log has is not repeated.

    python benchmarks/budget.py --minutes 0.5,1,2,10 --repeats 3 --write docs/automl.md
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import figures
import json_lines

from bankmlops.datasets import find_source
from bankmlops.local.datasets import Datasets
from bankmlops.local.training.automl_runs import AutoMLRuns
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.runs import wait
from bankmlops.types import AutoMLConfig, RunStatus

PACKAGES = ("bankmlops", "lightgbm", "xgboost-cpu", "scikit-learn", "mlflow")
_HEADER = ("asked, s", "runs", "used, s (mean)", "used, s (longest)", "over, s (at most)", "allowed, s", "kept", "trials", "AUC")
_LATE_SHARE, _LATE_SECONDS = 0.05, 5.0


def main() -> None:
    """Measure what the log lacks, and print the table."""
    options = _options()
    for repeat in range(options.repeats):
        for minutes in options.minutes:
            if not any(line["repeat"] == repeat for line in _logged(options.log, minutes)):
                line = _measured(minutes, repeat)
                json_lines.append(options.log, line)
                print(f"{minutes:g} min, repeat {repeat}: {line['seconds']:.1f} s", file=sys.stderr, flush=True)
    markdown = _markdown(options.log, options.minutes)
    print(markdown)
    if options.write:
        figures.write_block(options.write, "budget", markdown)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=_budgets, default=(0.5, 1.0, 2.0), help="budgets, commas between them")
    parser.add_argument("--repeats", type=figures.whole_number(0, 100), default=1, help="0 prints what the log holds")
    parser.add_argument("--log", type=Path, default=Path("build/bench/budget.jsonl"))
    parser.add_argument("--write", type=Path, help="put the table into this page's block as well")
    return parser.parse_args()


def _budgets(text: str) -> tuple[float, ...]:
    return tuple(sorted({float(part) for part in text.split(",")}))


def _logged(log: Path, minutes: float) -> list[dict[str, Any]]:
    return [line for line in json_lines.read(log) if line["minutes"] == minutes]


def _measured(minutes: float, repeat: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="bankmlops-bench-") as folder:
        workspace = LocalWorkspace(Path(folder) / "workspace")
        source = find_source(None, os.environ, Path("data"))
        dataset = Datasets(workspace).register("bank", source, "y")
        runs = AutoMLRuns(workspace, Datasets(workspace))
        config = AutoMLConfig(dataset, experiment_timeout_minutes=minutes, enable_early_stopping=False, random_seed=repeat)
        began = time.monotonic()
        run = wait(runs.get, runs.submit(config).id, timeout_seconds=minutes * 120 + 120)
        seconds = time.monotonic() - began
    if run.status is not RunStatus.COMPLETED:
        raise SystemExit(f"{minutes:g} min: {run.status}: {run.error}")
    found = {"minutes": minutes, "repeat": repeat, "seconds": seconds, "trials": run.trials, "rows": dataset.rows}
    return {**found, "synthetic": dataset.synthetic, "auc": run.metrics["AUC_weighted"], **figures.facts(PACKAGES)}


def _markdown(log: Path, budgets: Sequence[float]) -> str:
    rows, last = [], None
    for minutes in budgets:
        lines = _logged(log, minutes)
        if not lines:
            continue
        last, asked, used = lines[-1], minutes * 60, [line["seconds"] for line in lines]
        allowed = asked + max(_LATE_SHARE * asked, _LATE_SECONDS)
        kept = sum(seconds <= allowed for seconds in used)
        trials = sum(line["trials"] for line in lines) / len(lines)
        auc = sum(line["auc"] for line in lines) / len(lines)
        cells = [f"{asked:g}", len(lines), f"{sum(used) / len(used):.1f}", f"{max(used):.1f}", f"{max(used) - asked:+.1f}"]
        rows.append([*cells, f"{allowed:g}", f"{kept} of {len(lines)}", f"{trials:.0f}", f"{auc:.4f}"])
    if last is None:
        return "Nothing is measured."
    versions = ", ".join(f"{name} {number}" for name, number in last["versions"].items())
    data = f"{last['rows']:,} {'SYNTHETIC ' if last['synthetic'] else ''}rows"
    more = f"{data}; wall clock from the request to the logged model; AUC on held-out rows of the search; {versions}"
    return f"{figures.caption(last, more)}\n\n{figures.table(_HEADER, rows)}"


if __name__ == "__main__":
    main()
