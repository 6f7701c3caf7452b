"""What more time buys: the score on rows that nothing saw, over the budget: `make bench-budget`.

A fifth of the table is set aside before anything else. On the rest one run grows: it ends at half a minute and is scored, goes
on from its trials to a minute and is scored, and so on, as `automl continue` does: half an hour gives all six points. Each stop
costs the few seconds of ensemble, refit and export, which a run that goes straight through spends on its search. A point is a
line of the log as soon as it is there; a benchmark that was ended goes on after the last point, from the trials of that point.

    python benchmarks/budget_curve.py --splits 3 --write docs/automl.md --chart docs/budget-curve.svg
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import figures
import joblib
import json_lines
import numpy
import pandas
from sklearn.model_selection import train_test_split

from bankmlops.automl import Trial
from bankmlops.automl.metrics import classification_metrics
from bankmlops.automl.run import SEARCH_FOLDER, run_automl
from bankmlops.datasets import columns_of, find_source, read_table
from bankmlops.types import AutoMLConfig, Dataset

PACKAGES = ("bankmlops", "flaml", "lightgbm", "xgboost-cpu", "scikit-learn")
METRICS = {"accuracy": "accuracy", "AUC_weighted": "AUC", "log_loss": "log loss"}
MINUTES = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
LABEL = "y"
TEST_SHARE = 0.2
SPREAD = 0.006  # what one split and another differ by: no axis is drawn finer
FIRST_SPLIT = 3000  # seeds of splits that no choice of the product was made on
Lines = dict[float, dict[int, dict[str, Any]]]


class _Silent:
    def trial_ended(self, trial: Trial) -> None:
        """Nothing is shown."""

    def progressed(self, fraction: float, message: str) -> None:
        """Nothing is shown."""


def main() -> None:
    """Measure what the log lacks, and print the table."""
    options = _options()
    if options.splits:
        source = find_source(None, os.environ, Path("data"))
        frame = pandas.DataFrame(columns_of(read_table(source.path)))
        for split in range(options.splits):
            _grow(frame, split, source.synthetic, options)
    lines = _logged(options)
    markdown = _markdown(lines, options.metric)
    print(markdown)
    if options.write:
        figures.write_block(options.write, "budget-curve", markdown)
    if options.chart and lines:
        _draw(lines, options.chart)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=_budgets, default=MINUTES, help="points of the curve, commas between them")
    parser.add_argument("--splits", type=figures.whole_number(0, 20), default=1, help="0 prints what the log holds")
    parser.add_argument("--metric", default="accuracy", help="the primary metric of the runs")
    parser.add_argument("--log", type=Path, default=Path("build/bench/budget_curve.jsonl"))
    parser.add_argument("--folder", type=Path, default=Path("build/bench/budget_curve"), help="for the growing runs")
    parser.add_argument("--write", type=Path, help="put the table into this page's block as well")
    parser.add_argument("--chart", type=Path, help="draw the curve into this SVG file")
    return parser.parse_args()


def _budgets(text: str) -> tuple[float, ...]:
    return tuple(sorted({float(part) for part in text.split(",")}))


def _logged(options: argparse.Namespace) -> Lines:
    found: Lines = {}
    for line in json_lines.read(options.log):
        if line["metric"] == options.metric and line["minutes"] in options.minutes:
            found.setdefault(line["minutes"], {})[line["split"]] = line
    return {minutes: found[minutes] for minutes in sorted(found)}


def _grow(frame: pandas.DataFrame, split: int, synthetic: bool, options: argparse.Namespace) -> None:
    """Take a split's run from point to point, beginning behind the last one that the log has."""
    done = [minutes for minutes, lines in _logged(options).items() if split in lines]
    parts = train_test_split(frame, test_size=TEST_SHARE, random_state=FIRST_SPLIT + split, stratify=frame[LABEL])
    before = 0.0
    for minutes in options.minutes:
        if minutes not in done:
            line = _point(parts, split, before, minutes, options)
            json_lines.append(options.log, {**line, "synthetic": synthetic})
            shown = "  ".join(f"{shown} {line['values'][name]:.4f}" for name, shown in METRICS.items())
            print(f"split {split}, {minutes:g} min: {shown}  ({line['trials']} trials)", file=sys.stderr, flush=True)
            _forget(options.folder / f"split-{split}", keep=minutes)
        before = minutes
    if all(minutes in _logged(options) and split in _logged(options)[minutes] for minutes in options.minutes):
        shutil.rmtree(options.folder / f"split-{split}", ignore_errors=True)


def _point(
    parts: Sequence[pandas.DataFrame], split: int, before: float, minutes: float, options: argparse.Namespace
) -> dict[str, Any]:
    """The run as it stands after `minutes` in all, of which the last began from the trials of `before`."""
    train, test = parts
    folder = options.folder / f"split-{split}" / f"{minutes:g}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if before:
        shutil.copytree(options.folder / f"split-{split}" / f"{before:g}" / SEARCH_FOLDER, folder / SEARCH_FOLDER)
    columns = {name: train[name].to_numpy() for name in train}
    dataset = Dataset("bench", "1", len(train), tuple(columns), LABEL, "0" * 64)
    config = AutoMLConfig(dataset, primary_metric=options.metric, random_seed=split, enable_early_stopping=False)
    began = time.perf_counter()
    outcome = run_automl(columns, config, folder / "outputs", _Silent(), seconds=(minutes - before) * 60)
    seconds = time.perf_counter() - began
    model = joblib.load(folder / "outputs" / "model.pkl")
    codes = pandas.Index(model.classes_).get_indexer(test[LABEL])
    values = classification_metrics(codes, numpy.asarray(model.predict_proba(test.drop(columns=LABEL))))
    return {
        "metric": options.metric,
        "split": split,
        "minutes": minutes,
        "seconds": seconds,
        "trials": len(outcome.trials),
        "winner": outcome.winner.algorithm,
        "searched": outcome.winner.score,
        "values": {name: values[name] for name in METRICS},
        "rows": {"train": len(train), "test": len(test)},
        **figures.facts(PACKAGES),
    }


def _forget(folder: Path, keep: float) -> None:
    """Trials of the points before: the last one has them all."""
    for place in folder.iterdir():
        if place.name != f"{keep:g}":
            shutil.rmtree(place, ignore_errors=True)
    shutil.rmtree(folder / f"{keep:g}" / "outputs", ignore_errors=True)


def _markdown(lines: Lines, metric: str) -> str:
    if not lines:
        return "Nothing is measured."
    rows = []
    for minutes, found in lines.items():
        scores = [_mean([line["values"][name] for line in found.values()]) for name in METRICS]
        trials = numpy.mean([line["trials"] for line in found.values()])
        searched = _mean([line["searched"] for line in found.values()])
        rows.append([f"{minutes:g}", len(found), *scores, searched, f"{trials:.0f}"])
    first = next(iter(next(iter(lines.values())).values()))
    versions = ", ".join(f"{name} {number}" for name, number in first["versions"].items())
    kind = "SYNTHETIC " if first["synthetic"] else ""
    data = f"{first['rows']['train']:,} {kind}rows to train on and {first['rows']['test']:,} that nothing saw"
    header = ["minutes", "splits", *METRICS.values(), f"{metric} in the search", "trials"]
    caption = figures.caption(first, f"{data}; one run that goes on from point to point; {versions}")
    return f"{caption}\n\n{figures.table(header, rows)}"


def _mean(values: Sequence[float]) -> str:
    spread = f" ± {numpy.std(values):.4f}" if len(values) > 1 else ""
    return f"{numpy.mean(values):.4f}{spread}"


def _draw(lines: Lines, path: Path) -> None:
    """Log loss and AUC over the budget, a thin line a split and a thick one for the splits that every point has."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "budget"
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    FigureCanvasSVG(figure)
    for axes, name in zip(figure.subplots(1, 2), ("log_loss", "AUC_weighted"), strict=True):
        _draw_metric(axes, lines, name)
    figure.savefig(path, metadata={"Date": None})


def _draw_metric(axes: Any, lines: Mapping[float, Mapping[int, Mapping[str, Any]]], name: str) -> None:
    splits = sorted({split for found in lines.values() for split in found})
    whole = [split for split in splits if all(split in found for found in lines.values())]
    for split in splits:
        points = [(minutes, found[split]["values"][name]) for minutes, found in lines.items() if split in found]
        axes.plot(*zip(*points, strict=True), color="#9db4d0", linewidth=1)
    if whole:
        means = [numpy.mean([found[split]["values"][name] for split in whole]) for found in lines.values()]
        axes.plot(list(lines), means, color="#1f5fa8", linewidth=2.5, marker="o")
    axes.set(xscale="log", xlabel="minutes", title=f"{METRICS[name]} on rows that nothing saw")
    low, high = axes.get_ylim()
    middle, half = (low + high) / 2, max(high - low, SPREAD) / 2
    axes.set_ylim(middle - half, middle + half)
    axes.set_xticks(list(lines), [f"{minutes:g}" for minutes in lines])
    axes.minorticks_off()
    axes.grid(alpha=0.3)


if __name__ == "__main__":
    main()
