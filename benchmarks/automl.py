"""AutoML beside its peers at equal budgets, on rows that none of them saw: `make bench-automl`.

Each repeat splits a table anew into 80 % to train on and 20 % to score; every system gets the same parts, in turn, so that
differences are paired. Prints the mean and spread of accuracy, AUC and log loss, and the 95 % interval of each difference to ours
(Student's t over the repeats). Nothing else should run on the machine meanwhile.

    python benchmarks/automl.py --seconds 60 --repeats 3 --datasets bank,breast_cancer,wine,digits --out build/bench/automl.json
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
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
Predictor = Callable[[pandas.DataFrame, pandas.Series, pandas.DataFrame, float, int], tuple[numpy.ndarray, Sequence[str]]]


def main() -> None:
    """Run the systems that were asked for, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="the budget of each system")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--datasets", default="bank")
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--out", type=Path, default=Path("build/bench/automl.json"))
    options = parser.parse_args()
    results = {}
    for name in options.datasets.split(","):
        results[name] = _measure(name, options.systems.split(","), options.seconds, options.repeats)
        print(_table(name, results[name]), flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    facts = {"seconds": options.seconds, "cores": len(os.sched_getaffinity(0)), "versions": _versions()}
    options.out.write_text(json.dumps({**facts, "results": results}, indent=1) + "\n")


def _measure(name: str, systems: Sequence[str], seconds: float, repeats: int) -> dict[str, list[dict[str, float]]]:
    frame = _load(name)
    rows: dict[str, list[dict[str, float]]] = {system: [] for system in systems}
    for repeat in range(repeats):
        train, test = train_test_split(frame, test_size=0.2, random_state=1000 + repeat, stratify=frame[LABEL])
        for system in systems:
            started = time.perf_counter()
            probabilities, classes = SYSTEMS[system](
                train.drop(columns=LABEL), train[LABEL], test.drop(columns=LABEL), seconds, repeat
            )
            wall = time.perf_counter() - started
            codes = numpy.array([list(classes).index(label) for label in test[LABEL]])
            values = classification_metrics(codes, probabilities)
            rows[system].append({metric: values[metric] for metric in METRICS} | {"seconds": wall})
            shown = "  ".join(f"{metric} {values[metric]:.4f}" for metric in METRICS)
            print(f"{name} repeat {repeat} {system:16s} {shown}  {wall:.1f} s", flush=True)
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


def _ours(
    features: pandas.DataFrame, labels: pandas.Series, test: pandas.DataFrame, seconds: float, seed: int
) -> tuple[numpy.ndarray, Sequence[str]]:
    columns = {name: features[name].to_numpy() for name in features} | {LABEL: labels.to_numpy(dtype=object)}
    dataset = Dataset("bench", "1", len(labels), tuple(columns), LABEL, "0" * 64)
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder) / "outputs"
        config = AutoMLConfig(dataset, random_seed=seed)
        run_automl(columns, config, outputs, _Silent(), seconds=seconds)
        model = joblib.load(outputs / "model.pkl")
        return model.predict_proba(test), list(model.classes_)


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


def _lightgbm(
    features: pandas.DataFrame, labels: pandas.Series, test: pandas.DataFrame, seconds: float, seed: int
) -> tuple[numpy.ndarray, Sequence[str]]:
    """The hand-set model: learning rate 0.03, 400 trees, 23 leaves, features and rows sampled."""
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
    "bankmlops": _ours,
    "flaml accuracy": _flaml("accuracy"),
    "flaml log_loss": _flaml("log_loss"),
    "lightgbm by hand": _lightgbm,
}


def _table(name: str, rows: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    lines = [f"\n{name}: mean ± spread over {len(next(iter(rows.values())))} repeats", ""]
    lines += ["| system | " + " | ".join(METRICS) + " | seconds |", "| --- |" + " --- |" * (len(METRICS) + 1)]
    for system, values in rows.items():
        cells = [_mean(values, metric) for metric in METRICS]
        lines.append(f"| {system} | {' | '.join(cells)} | {numpy.mean([value['seconds'] for value in values]):.1f} |")
    lines += ["", "ours minus theirs, 95 % interval of the paired difference", ""]
    for system, values in rows.items():
        if system != "bankmlops" and "bankmlops" in rows:
            shown = [f"{metric} {_interval(rows['bankmlops'], values, metric)}" for metric in METRICS]
            lines.append(f"- {system}: {', '.join(shown)}")
    return "\n".join(lines) + "\n"


def _mean(values: Sequence[Mapping[str, float]], metric: str) -> str:
    numbers = [value[metric] for value in values]
    return f"{numpy.mean(numbers):.4f} ± {numpy.std(numbers):.4f}"


def _interval(ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]], metric: str) -> str:
    differences: Any = numpy.array([a[metric] - b[metric] for a, b in zip(ours, theirs, strict=True)])
    if len(differences) < 2:
        return f"{differences.mean():+.4f}"
    half = stats.t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / numpy.sqrt(len(differences))
    return f"{differences.mean():+.4f} [{differences.mean() - half:+.4f}, {differences.mean() + half:+.4f}]"


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("bankmlops", "flaml", "lightgbm", "xgboost-cpu", "scikit-learn")}


if __name__ == "__main__":
    main()
