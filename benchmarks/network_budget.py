"""What the network adds where it must share the minutes: `python benchmarks/network_budget.py --seconds 60 --splits 2`.

Whole runs of the product with as much wall clock each, with `enable_dnn` and without, on the same splits and with the same
seeds; PyTorch's import counts, and no run ends early. Each split sets a fifth of the rows aside, which neither run sees. Each
run is a line of the log as soon as it is there: a second call goes on after the last one, and prints the tables of all that the
log holds of these seconds. Nothing else should run on the machine meanwhile.

    python benchmarks/network_budget.py --tables bank --seconds 120 --splits 2
    python benchmarks/network_budget.py --tables digits,breast_cancer --seconds 30 --splits 3
"""

from __future__ import annotations

import argparse
import ast
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import figures
import joblib
import json_lines
import numpy
import pandas
from automl import LABEL, METRICS, TEST_SHARE, difference, load
from sklearn.model_selection import train_test_split

from bankmlops.automl import Trial
from bankmlops.automl.algorithms import NETWORK
from bankmlops.automl.metrics import classification_metrics
from bankmlops.automl.run import run_automl
from bankmlops.datasets import find_source
from bankmlops.types import AutoMLConfig, Dataset, RunStatus

PACKAGES = ("bankmlops", "torch", "tabm", "lightgbm", "xgboost-cpu", "scikit-learn")
FIRST_SPLIT = 4000  # seeds of splits that no choice of the product was made on
WITHOUT, WITH = "without", "with"
_HEADER = ("table", "seconds", "splits", "metric", "without", "with", "gain", "95 % interval", "better in")
_USE = (
    "table",
    "seconds",
    "trials without",
    "trials with",
    "of these networks",
    "networks given up",
    "network's weight",
    "longest, s",
)
Lines = Mapping[str, Mapping[int, Mapping[str, Any]]]


class _Trials:
    """Keeps the trials that completed, and why networks did not."""

    def __init__(self) -> None:
        self.completed: list[Trial] = []
        self.given_up: list[str] = []

    def trial_ended(self, trial: Trial) -> None:
        if trial.status is RunStatus.COMPLETED:
            self.completed.append(trial)
        elif trial.algorithm == NETWORK.name:
            self.given_up.append(trial.error)

    def progressed(self, fraction: float, message: str) -> None:
        """Nothing is shown."""


def main() -> None:
    """Measure what the log lacks, and print the tables."""
    options = _options()
    for table in options.tables.split(","):
        _measure(table, options)
    print(_markdown(options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", default="bank,digits,breast_cancer")
    parser.add_argument("--seconds", type=float, default=60.0, help="the budget of each run")
    parser.add_argument("--splits", type=figures.whole_number(0, 100), default=2, help="0 prints what the log holds")
    parser.add_argument("--log", type=Path, default=Path("build/bench/network_budget.jsonl"))
    return parser.parse_args()


def _measure(table: str, options: argparse.Namespace) -> None:
    """Append what is missing to the log; of each second split the run with the network goes first."""
    for split in range(options.splits):
        for arm in (WITHOUT, WITH)[:: 1 if split % 2 == 0 else -1]:
            if split in _logged(options.log, table, options.seconds)[arm]:
                continue
            line = {"table": table, "seconds": options.seconds, "split": split, "arm": arm, "synthetic": _is_synthetic(table)}
            line |= _run(load(table), split, arm, options.seconds)
            json_lines.append(options.log, line)
            shown = "  ".join(f"{metric} {line['values'][metric]:.4f}" for metric in METRICS)
            print(f"{table}, split {split}, {arm} the network: {shown}  {line['wall']:.1f} s", file=sys.stderr, flush=True)


def _is_synthetic(table: str) -> bool:
    return table == "bank" and find_source(None, os.environ, Path("data")).synthetic


def _run(frame: pandas.DataFrame, split: int, arm: str, seconds: float) -> dict[str, Any]:
    train, test = train_test_split(frame, test_size=TEST_SHARE, random_state=FIRST_SPLIT + split, stratify=frame[LABEL])
    columns = {name: train[name].to_numpy() for name in train}
    dataset = Dataset("bench", "1", len(train), tuple(columns), LABEL, "0" * 64)
    config = AutoMLConfig(dataset, random_seed=split, enable_early_stopping=False, enable_dnn=arm == WITH)
    trials = _Trials()
    with tempfile.TemporaryDirectory(prefix="bankmlops-bench-") as folder:
        began = time.perf_counter()
        outcome = run_automl(columns, config, Path(folder) / "outputs", trials, seconds=seconds)
        wall = time.perf_counter() - began
        model = joblib.load(Path(folder) / "outputs" / "model.pkl")
    codes = pandas.Index(model.classes_).get_indexer(test[LABEL])
    values = classification_metrics(codes, numpy.asarray(model.predict_proba(test.drop(columns=LABEL))))
    return {
        "values": {name: values[name] for name in METRICS},
        "wall": wall,
        "trials": len(trials.completed),
        "networks": sum(trial.algorithm == NETWORK.name for trial in trials.completed),
        "given_up": trials.given_up,
        "weight": _weight(outcome.winner),
        "rows": {"train": len(train), "test": len(test)},
        **figures.facts(PACKAGES),
    }


def _weight(winner: Trial) -> float:
    """The network's share of what won."""
    if winner.algorithm == NETWORK.name:
        return 1.0
    names, weights = (ast.literal_eval(winner.parameters.get(key, "[]")) for key in ("ensembled_algorithms", "ensemble_weights"))
    return float(sum(weight for name, weight in zip(names, weights, strict=True) if name == NETWORK.name))


def _logged(log: Path, table: str, seconds: float) -> Lines:
    found: dict[str, dict[int, Mapping[str, Any]]] = {WITHOUT: {}, WITH: {}}
    for line in json_lines.read(log):
        if (line["table"], line["seconds"]) == (table, seconds):
            found[line["arm"]][line["split"]] = line
    return found


def _markdown(options: argparse.Namespace) -> str:
    found = {table: _pairs(_logged(options.log, table, options.seconds)) for table in options.tables.split(",")}
    measured = {table: lines for table, lines in found.items() if lines[WITH]}
    if not measured:
        return "Nothing is measured."
    last = list(next(reversed(measured.values()))[WITH].values())[-1]
    versions = ", ".join(f"{name} {number}" for name, number in last["versions"].items())
    caption = figures.caption(last, f"the budget is of each run, on rows that neither saw; {versions}")
    scores = [_scores(table, options.seconds, metric, lines) for table, lines in measured.items() for metric in METRICS]
    use = [_use(table, options.seconds, lines) for table, lines in measured.items()]
    return "\n\n".join([caption, figures.table(_HEADER, scores), figures.table(_USE, use)])


def _pairs(lines: Lines) -> Lines:
    """The splits that both arms have."""
    common = sorted(lines[WITHOUT].keys() & lines[WITH].keys())
    return {arm: {split: lines[arm][split] for split in common} for arm in lines}


def _scores(table: str, seconds: float, metric: str, lines: Lines) -> Sequence[str]:
    values = {arm: {split: line["values"] for split, line in lines[arm].items()} for arm in lines}
    means = [f"{numpy.mean([each[metric] for each in values[arm].values()]):.4f}" for arm in (WITHOUT, WITH)]
    gain, interval, _, better = difference(values[WITH], values[WITHOUT], metric)
    name = f"{table} (SYNTHETIC)" if any(line["synthetic"] for line in lines[WITH].values()) else table
    return [name, f"{seconds:g}", str(len(values[WITH])), metric, *means, gain, interval, better]


def _use(table: str, seconds: float, lines: Lines) -> Sequence[str]:
    def mean(arm: str, name: str) -> float:
        return float(numpy.mean([line[name] for line in lines[arm].values()]))

    trials = [f"{mean(*cell):.1f}" for cell in ((WITHOUT, "trials"), (WITH, "trials"), (WITH, "networks"))]
    given_up = numpy.mean([len(line["given_up"]) for line in lines[WITH].values()])
    longest = max(line["wall"] for arm in lines.values() for line in arm.values())
    return [table, f"{seconds:g}", *trials, f"{given_up:.1f}", f"{mean(WITH, 'weight'):.2f}", f"{longest:.1f}"]


if __name__ == "__main__":
    main()
