"""AutoML beside its peers at equal budgets, on rows that none of them saw: `make bench-automl`.

Each repeat splits a table anew into 80 % to train on and 20 % to score; every system gets the same parts, in turn, so that
differences are paired. Each result is a line of a JSON-lines file as soon as it is there: a second call goes on after the last
one, and a call with more repeats adds them. Prints, as Markdown, the mean and spread of accuracy, AUC and log loss, and the 95 %
interval of each difference to ours: Student's t over the repeats, and once more with the variance that training parts which
overlap ask for (Nadeau and Bengio, Machine Learning 52, 2003). Nothing else should run on the machine meanwhile.

    python benchmarks/automl.py --seconds 60 --repeats 6 --log build/bench/automl.jsonl
    python benchmarks/automl.py --seconds 20 --repeats 3 --datasets breast_cancer,wine,digits
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import figures
import joblib
import json_lines
import numpy
import pandas
from scipy import stats
from sklearn.model_selection import train_test_split

from bankmlops.automl import Trial
from bankmlops.automl.metrics import classification_metrics
from bankmlops.automl.run import run_automl
from bankmlops.datasets import columns_of, find_source, read_table
from bankmlops.types import AutoMLConfig, Dataset

METRICS = ("accuracy", "AUC_weighted", "log_loss")
LABEL = "y"
TEST_SHARE = 0.2
FIRST_SPLIT = 2000  # the seeds from 1000 on are those on which the choices of the product were made
VERSIONS = ("bankmlops", "flaml", "lightgbm", "xgboost-cpu", "scikit-learn")
Predictor = Callable[[pandas.DataFrame, pandas.Series, pandas.DataFrame, float, int], tuple[numpy.ndarray, Sequence[str]]]
Rows = dict[str, dict[int, Mapping[str, float]]]


def main() -> None:
    """Run the systems that were asked for, and print the tables."""
    options = _arguments()
    for name in options.datasets.split(","):
        systems = options.systems.split(",")
        _measure(name, systems, options)
        found = _logged(options.log, name, options.seconds, systems)
        print(_table(name, found, options.seconds), flush=True)
        if options.page:
            figures.write_block(options.page, f"automl-{name}", _table(name, found, options.seconds))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="the budget of each system")
    parser.add_argument("--repeats", type=figures.whole_number(0, 100), default=6, help="0 prints what the log holds")
    parser.add_argument("--datasets", default="bank")
    parser.add_argument("--systems", default=",".join(SYSTEMS_BY_DEFAULT), help=f"of {', '.join(SYSTEMS)}")
    parser.add_argument("--log", type=Path, default=Path("build/bench/automl.jsonl"))
    parser.add_argument("--page", type=Path, help="write the table between the marks of this page, too")
    return parser.parse_args()


def _measure(name: str, systems: Sequence[str], options: argparse.Namespace) -> None:
    """Append what is missing of the repeats to the log."""
    frame = _load(name)
    for repeat in range(options.repeats):
        done = _logged(options.log, name, options.seconds, systems)
        train, test = train_test_split(frame, test_size=TEST_SHARE, random_state=FIRST_SPLIT + repeat, stratify=frame[LABEL])
        for system in systems:
            if repeat in done[system]:
                continue
            values = _score(system, train, test, options.seconds, repeat)
            line = {"dataset": name, "system": system, "seconds": options.seconds, "repeat": repeat, "values": values}
            json_lines.append(options.log, {**line, **figures.facts(VERSIONS)})
            shown = "  ".join(f"{metric} {values[metric]:.4f}" for metric in METRICS)
            print(f"{name} repeat {repeat} {system:16s} {shown}  {values['seconds']:.1f} s", flush=True)


def _score(system: str, train: pandas.DataFrame, test: pandas.DataFrame, seconds: float, seed: int) -> dict[str, float]:
    started = time.perf_counter()
    probabilities, classes = SYSTEMS[system](train.drop(columns=LABEL), train[LABEL], test.drop(columns=LABEL), seconds, seed)
    wall = time.perf_counter() - started
    codes = numpy.array([list(classes).index(label) for label in test[LABEL]])
    values = classification_metrics(codes, numpy.asarray(probabilities))
    return {metric: values[metric] for metric in METRICS} | {"seconds": wall}


def _logged(log: Path, name: str, seconds: float, systems: Sequence[str]) -> Rows:
    """What the log holds of a table at a budget: a system's repeats."""
    rows: Rows = {system: {} for system in systems}
    for line in json_lines.read(log):
        if line["dataset"] == name and line["seconds"] == seconds and line["system"] in rows:
            rows[line["system"]][line["repeat"]] = line["values"]
    return rows


def _load(name: str) -> pandas.DataFrame:
    if name == "bank":
        source = find_source(None, os.environ, Path("data"))
        return pandas.DataFrame(columns_of(read_table(source.path)))
    from sklearn import datasets

    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    frame[LABEL] = [f"class {code}" for code in frame.pop("target")]
    return frame


class _Silent:
    def trial_ended(self, trial: Trial) -> None:
        """Nothing is shown."""

    def progressed(self, fraction: float, message: str) -> None:
        """Nothing is shown."""


def _ours(metric: str) -> Predictor:
    def fit(
        features: pandas.DataFrame, labels: pandas.Series, test: pandas.DataFrame, seconds: float, seed: int
    ) -> tuple[numpy.ndarray, Sequence[str]]:
        columns = {name: features[name].to_numpy() for name in features} | {LABEL: labels.to_numpy(dtype=object)}
        dataset = Dataset("bench", "1", len(labels), tuple(columns), LABEL, "0" * 64)
        with tempfile.TemporaryDirectory() as folder:
            outputs = Path(folder) / "outputs"
            config = AutoMLConfig(dataset, primary_metric=metric, random_seed=seed)
            run_automl(columns, config, outputs, _Silent(), seconds=seconds)
            model = joblib.load(outputs / "model.pkl")
            return model.predict_proba(test), list(model.classes_)

    return fit


def _flaml(metric: str) -> Predictor:
    def fit(
        features: pandas.DataFrame, labels: pandas.Series, test: pandas.DataFrame, seconds: float, seed: int
    ) -> tuple[numpy.ndarray, Sequence[str]]:
        from flaml import AutoML

        automl = AutoML()
        automl.fit(
            features,
            labels,
            task="classification",
            metric=metric,
            time_budget=seconds,
            seed=seed,
            verbose=0,
            n_jobs=-1,
            estimator_list=["lgbm", "xgboost", "xgb_limitdepth", "rf", "extra_tree", "lrl1"],
        )
        return automl.predict_proba(test), list(automl.classes_)

    return fit


def _lightgbm(count: int) -> Predictor:
    """The hand-set model, or the mean of several seeds of it."""

    def fit(
        features: pandas.DataFrame, labels: pandas.Series, test: pandas.DataFrame, seconds: float, seed: int
    ) -> tuple[numpy.ndarray, Sequence[str]]:
        answers = [_by_hand(features, labels, test, seed * 100 + place) for place in range(count)]
        return sum(probabilities for probabilities, _ in answers) / count, answers[0][1]

    return fit


def _by_hand(
    features: pandas.DataFrame, labels: pandas.Series, test: pandas.DataFrame, seed: int
) -> tuple[numpy.ndarray, Sequence[str]]:
    """Learning rate 0.03, 400 trees, 23 leaves, features and rows sampled."""
    from lightgbm import LGBMClassifier

    texts = [name for name in features if features[name].dtype == object]
    types = {name: pandas.CategoricalDtype(sorted(features[name].dropna().unique())) for name in texts}
    model = LGBMClassifier(
        n_estimators=400,
        learning_rate=0.03,
        num_leaves=23,
        colsample_bytree=0.5,
        subsample=0.8,
        subsample_freq=1,
        random_state=seed,
        verbosity=-1,
    ).fit(features.astype(types), labels)
    return model.predict_proba(test.astype(types)), list(model.classes_)


SYSTEMS: Mapping[str, Predictor] = {
    "bankmlops": _ours("accuracy"),
    "bankmlops log_loss": _ours("log_loss"),
    "flaml log_loss": _flaml("log_loss"),
    "flaml accuracy": _flaml("accuracy"),
    "lightgbm by hand": _lightgbm(1),
    "four by hand": _lightgbm(4),
}
SYSTEMS_BY_DEFAULT = ("bankmlops", "flaml log_loss", "flaml accuracy", "lightgbm by hand", "four by hand")


def _table(name: str, rows: Rows, seconds: float) -> str:
    facts = figures.facts(VERSIONS)
    versions = ", ".join(f"{package} {number}" for package, number in facts["versions"].items())
    counts = {len(values) for values in rows.values()}
    caption = figures.caption(facts, f"{name}, {seconds:.0f} s each, {max(counts)} splits; {versions}")
    scores = [
        [system, *(_mean(list(values.values()), metric) for metric in METRICS), _mean(list(values.values()), "seconds", 1)]
        for system, values in rows.items()
        if values
    ]
    parts = [caption, figures.table(["system", *METRICS, "seconds"], scores)]
    first = next(iter(rows))
    others = [(system, metric) for system, values in rows.items() if system != first and values for metric in METRICS]
    differences = [[system, metric, *_difference(rows[first], rows[system], metric)] for system, metric in others]
    header = [f"{first} against", "metric", "difference", "95 % interval", "with overlap", "better in"]
    return "\n\n".join(["", *parts, figures.table(header, differences)]) + "\n"


def _mean(values: Sequence[Mapping[str, float]], metric: str, digits: int = 4) -> str:
    numbers = [value[metric] for value in values]
    return f"{numpy.mean(numbers):.{digits}f} ± {numpy.std(numbers):.{digits}f}"


def _difference(ours: Mapping[int, Mapping[str, float]], theirs: Mapping[int, Mapping[str, float]], metric: str) -> list[str]:
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
