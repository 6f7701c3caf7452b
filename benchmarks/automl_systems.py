"""The systems that `automl.py` compares in its own process: ours, FLAML, and LightGBM with settings that somebody knew."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import joblib
import numpy
import pandas

from bankmlops.automl import Trial
from bankmlops.automl.run import run_automl
from bankmlops.types import AutoMLConfig, Dataset

LABEL = "y"


class FailedError(Exception):
    """A system left no answer; the message says why."""


@dataclass(frozen=True)
class Answer:
    """Probabilities [rows, classes] of the test rows, the classes in their order, and the seconds from the rows to them.

    `versions` are of packages that are not in this process's environment.
    """

    probabilities: numpy.ndarray
    classes: Sequence[str]
    seconds: float
    versions: Mapping[str, str] = field(default_factory=dict)


Fitted = tuple[numpy.ndarray, Sequence[str]]
Fit = Callable[[pandas.DataFrame, pandas.Series, pandas.DataFrame, float, int], Fitted]
Predictor = Callable[[pandas.DataFrame, pandas.Series, pandas.DataFrame, float, int], Answer]


def _timed(fit: Fit) -> Predictor:
    def predictor(features: pandas.DataFrame, labels: pandas.Series, test: pandas.DataFrame, seconds: float, seed: int) -> Answer:
        started = time.perf_counter()
        probabilities, classes = fit(features, labels, test, seconds, seed)
        return Answer(numpy.asarray(probabilities), classes, time.perf_counter() - started)

    return predictor


class _Silent:
    def trial_ended(self, trial: Trial) -> None:
        """Nothing is shown."""

    def progressed(self, fraction: float, message: str) -> None:
        """Nothing is shown."""


def _ours(metric: str) -> Fit:
    def fit(features: pandas.DataFrame, labels: pandas.Series, test: pandas.DataFrame, seconds: float, seed: int) -> Fitted:
        columns = {name: features[name].to_numpy() for name in features} | {LABEL: labels.to_numpy(dtype=object)}
        dataset = Dataset("bench", "1", len(labels), tuple(columns), LABEL, "0" * 64)
        with tempfile.TemporaryDirectory() as folder:
            outputs = Path(folder) / "outputs"
            config = AutoMLConfig(dataset, primary_metric=metric, random_seed=seed)
            run_automl(columns, config, outputs, _Silent(), seconds=seconds)
            model = joblib.load(outputs / "model.pkl")
            return model.predict_proba(test), list(model.classes_)

    return fit


def _flaml(metric: str) -> Fit:
    def fit(features: pandas.DataFrame, labels: pandas.Series, test: pandas.DataFrame, seconds: float, seed: int) -> Fitted:
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


def _lightgbm(count: int) -> Fit:
    """The hand-set model, or the mean of several seeds of it."""

    def fit(features: pandas.DataFrame, labels: pandas.Series, test: pandas.DataFrame, seconds: float, seed: int) -> Fitted:
        answers = [_by_hand(features, labels, test, seed * 100 + place) for place in range(count)]
        return sum(probabilities for probabilities, _ in answers) / count, answers[0][1]

    return fit


def _by_hand(features: pandas.DataFrame, labels: pandas.Series, test: pandas.DataFrame, seed: int) -> Fitted:
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
    "bankmlops": _timed(_ours("accuracy")),
    "bankmlops log_loss": _timed(_ours("log_loss")),
    "flaml log_loss": _timed(_flaml("log_loss")),
    "flaml accuracy": _timed(_flaml("accuracy")),
    "lightgbm by hand": _timed(_lightgbm(1)),
    "four by hand": _timed(_lightgbm(4)),
}
SYSTEMS_BY_DEFAULT = ("bankmlops", "flaml log_loss", "flaml accuracy", "lightgbm by hand", "four by hand")
