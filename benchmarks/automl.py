"""AutoML beside its peers at equal budgets, on rows that none of them saw: `make bench-automl`.

Each repeat splits a table anew into 80 % to train on and 20 % to score; every system gets the same parts, in turn, so that
differences are paired. Each result is a line of a JSON-lines file as soon as it is there: a second call goes on after the last
one, and a call with more repeats adds them. Prints, as Markdown, the mean and spread of accuracy, AUC and log loss, and the 95 %
interval of each difference to ours: Student's t over the repeats, and once more with the variance that training parts which
overlap ask for (Nadeau and Bengio, Machine Learning 52, 2003). Nothing else should run on the machine meanwhile.

By default that is three splits of each of four tables, a minute for each of five systems, of which two take seconds: about 35
minutes. A table is printed when all of its splits are there; Ctrl-C loses the split that is under way alone. Less, and more:

    python benchmarks/automl.py --seconds 20 --repeats 1 --datasets wine --systems "bankmlops,flaml log_loss"
    python benchmarks/automl.py --repeats 6 --datasets bank --log build/bench/automl.jsonl

`make bench-automl-peers` has AutoGluon and H2O take part, too, from an environment of their own (`automl_peers.py`). A system
that fails on a split is told of, and tried again by the next call.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import automl_systems
import figures
import json_lines
import numpy
import pandas
from automl_peers import PEERS, peer, require_environment
from automl_systems import LABEL, SYSTEMS_BY_DEFAULT, FailedError
from scipy import stats
from sklearn.model_selection import train_test_split

from bankmlops.automl.metrics import classification_metrics
from bankmlops.datasets import columns_of, find_source, read_table

METRICS = ("accuracy", "AUC_weighted", "log_loss")
TEST_SHARE = 0.2
FIRST_SPLIT = 2000  # the seeds from 1000 on are those on which the choices of the product were made
VERSIONS = ("bankmlops", "flaml", "lightgbm", "xgboost-cpu", "scikit-learn")
SYSTEMS = {**automl_systems.SYSTEMS, **{name: peer(name) for name in PEERS}}
TABLES = ("bank", "breast_cancer", "wine", "digits")
Rows = dict[str, dict[int, Mapping[str, float]]]


def main() -> None:
    """Run the systems that were asked for, and print the tables."""
    options = _arguments()
    systems = options.systems.split(",")
    if options.repeats and set(systems) & set(PEERS):
        require_environment()
    for name in options.datasets.split(","):
        if options.repeats:
            _measure(name, systems, options)
        table = _table(name, _lines(options.log, name, options.seconds, systems), systems, options.seconds)
        print(table, flush=True)
        if options.page:
            figures.write_block(options.page, f"automl-{name}", table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="the budget of each system")
    parser.add_argument("--repeats", type=figures.whole_number(0, 100), default=3, help="splits; 0 prints what the log holds")
    parser.add_argument("--datasets", type=_tables, default=",".join(TABLES), help=f"of {', '.join(TABLES)}")
    parser.add_argument("--systems", type=_systems, default=",".join(SYSTEMS_BY_DEFAULT), help=f"of {', '.join(SYSTEMS)}")
    parser.add_argument("--log", type=Path, default=Path("build/bench/automl.jsonl"))
    parser.add_argument("--page", type=Path, help="write the table between the marks of this page, too")
    return parser.parse_args()


def _systems(text: str) -> str:
    return _known(text, SYSTEMS)


def _tables(text: str) -> str:
    return _known(text, TABLES)


def _known(text: str, names: Collection[str]) -> str:
    unknown = [name for name in text.split(",") if name not in names]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(names)}")
    return text


def _measure(name: str, systems: Sequence[str], options: argparse.Namespace) -> None:
    """Append what is missing of the repeats to the log."""
    frame = load(name)
    done = {(line["system"], line["repeat"]) for line in _lines(options.log, name, options.seconds, systems)}
    for repeat in range(options.repeats):
        train, test = train_test_split(frame, test_size=TEST_SHARE, random_state=FIRST_SPLIT + repeat, stratify=frame[LABEL])
        for system in systems:
            if (system, repeat) in done:
                continue
            try:
                values, facts = _score(system, train, test, options.seconds, repeat)
            except FailedError as error:
                print(
                    f"{name} repeat {repeat} {system:16s} has no result and is tried again by the next call: {error}", flush=True
                )
                continue
            line = {"dataset": name, "system": system, "seconds": options.seconds, "repeat": repeat, "values": values}
            json_lines.append(options.log, {**line, **facts})
            shown = "  ".join(f"{metric} {values[metric]:.4f}" for metric in METRICS)
            print(f"{name} repeat {repeat} {system:16s} {shown}  {values['seconds']:.1f} s", flush=True)


def _score(
    system: str, train: pandas.DataFrame, test: pandas.DataFrame, seconds: float, seed: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """The metrics and seconds, and what they were measured on."""
    answer = SYSTEMS[system](train.drop(columns=LABEL), train[LABEL], test.drop(columns=LABEL), seconds, seed)
    codes = numpy.array([list(answer.classes).index(label) for label in test[LABEL]])
    metrics = classification_metrics(codes, answer.probabilities)
    facts = figures.facts(VERSIONS)
    values = {metric: metrics[metric] for metric in METRICS} | {"seconds": answer.seconds}
    return values, {**facts, "versions": {**facts["versions"], **answer.versions}}


def _lines(log: Path, name: str, seconds: float, systems: Sequence[str]) -> list[dict[str, Any]]:
    """What the log holds of these systems on a table at a budget."""
    return [
        line
        for line in json_lines.read(log)
        if line["dataset"] == name and line["seconds"] == seconds and line["system"] in systems
    ]


def load(name: str) -> pandas.DataFrame:
    """A table with the label in the column `LABEL`: bank, or one of scikit-learn's."""
    if name == "bank":
        source = find_source(None, os.environ, Path("data"))
        return pandas.DataFrame(columns_of(read_table(source.path)))
    from sklearn import datasets

    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    frame[LABEL] = [f"class {code}" for code in frame.pop("target")]
    return frame


def _table(name: str, lines: Sequence[Mapping[str, Any]], systems: Sequence[str], seconds: float) -> str:
    """The figures of the log's lines, and when and on what the newest was measured."""
    rows: Rows = {system: {} for system in systems}
    versions: dict[str, str] = {}
    for line in lines:
        rows[line["system"]][line["repeat"]] = line["values"]
        versions |= line["versions"]
    count = max(map(len, rows.values()))
    used = ", ".join(f"{package} {number}" for package, number in versions.items())
    facts = lines[-1] if lines else figures.facts(VERSIONS)
    caption = figures.caption(facts, f"{name}, {seconds:.0f} s each, {count} splits; {used}")
    scores = [
        [system, *(_mean(list(values.values()), metric) for metric in METRICS), _mean(list(values.values()), "seconds", 1)]
        for system, values in rows.items()
        if values
    ]
    parts = [caption, figures.table(["system", *METRICS, "seconds"], scores)]
    first = next(iter(rows))
    others = [(system, metric) for system, values in rows.items() if system != first and values for metric in METRICS]
    differences = [[system, metric, *difference(rows[first], rows[system], metric)] for system, metric in others]
    header = [f"{first} against", "metric", "difference", "95 % interval", "with overlap", "better in"]
    return "\n\n".join(["", *parts, figures.table(header, differences)]) + "\n"


def _mean(values: Sequence[Mapping[str, float]], metric: str, digits: int = 4) -> str:
    numbers = [value[metric] for value in values]
    return f"{numpy.mean(numbers):.{digits}f} ± {numpy.std(numbers):.{digits}f}"


def difference(ours: Mapping[int, Mapping[str, float]], theirs: Mapping[int, Mapping[str, float]], metric: str) -> list[str]:
    """Ours minus theirs over the splits that both have: mean, both intervals, and how often ours is better."""
    common = sorted(ours.keys() & theirs.keys())
    if not common:
        return ["-"] * 4
    differences: Any = numpy.array([ours[repeat][metric] - theirs[repeat][metric] for repeat in common])
    better = int((differences < 0).sum() if metric == "log_loss" else (differences > 0).sum())
    mean, count = differences.mean(), len(differences)
    if count < 2:
        return [f"{mean:+.5f}", "-", "-", f"{better} of {count}"]
    spread = stats.t.ppf(0.975, count - 1) * differences.std(ddof=1)
    plain, corrected = spread / count**0.5, spread * (1 / count + TEST_SHARE / (1 - TEST_SHARE)) ** 0.5
    return [f"{mean:+.5f}", *(f"{mean - half:+.5f} to {mean + half:+.5f}" for half in (plain, corrected)), f"{better} of {count}"]


if __name__ == "__main__":
    main()
