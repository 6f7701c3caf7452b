"""The online challenger: a small boosted model whose leaves follow the newest labels, and a linear model that takes each label.

Which learners, and these settings, were chosen by measurement: docs/online.md. The two answers are blended by how well each has
done lately.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy

from bankmlops.automl.float32_trees import round_booster
from bankmlops.automl.lightgbm_library import load_lightgbm

Array = numpy.ndarray[Any, Any]
Arrays = Mapping[str, Array]

REFIT_ROWS = 200
DECAY = 0.9  # how much of a leaf stays when its value is learnt anew
MEMORY = 0.995  # of a member's loss, from one label to the next
STEP = 0.01
_WARM_UP_PASSES = 5
_SMALLEST_SCALE = 0.1  # or a rare category would move the linear model by a leap
_SMALLEST_PROBABILITY = 1e-6
_BOOSTING = {
    "objective": "binary",
    "learning_rate": 0.08,
    "num_leaves": 15,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.7,
    "lambda_l2": 1.0,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
_ROUNDS = 60


class Trees:
    """LightGBM, grown once; every `REFIT_ROWS` labels the values of its leaves are learnt anew from these."""

    def __init__(self, booster: Any, matrix: Array, labels: Array) -> None:
        """`matrix` and `labels` are those that wait for the next refit."""
        self.booster = booster
        self._matrix, self._labels = matrix, labels

    @staticmethod
    def warmed_up(matrix: Array, labels: Array, seed: int) -> Trees:
        """Grown on these rows."""
        lightgbm = load_lightgbm()

        booster = lightgbm.train({**_BOOSTING, "seed": seed}, lightgbm.Dataset(matrix, labels), _ROUNDS)
        return Trees(round_booster(booster), matrix[:0], labels[:0])

    def predict(self, matrix: Array) -> Array:
        """float64 [rows]: the probability of the second class."""
        return numpy.asarray(self.booster.predict(matrix))

    def learn(self, matrix: Array, labels: Array) -> None:
        """Take labels in their order."""
        self._matrix, self._labels = numpy.concatenate([self._matrix, matrix]), numpy.concatenate([self._labels, labels])
        while len(self._labels) >= REFIT_ROWS:
            self.booster = self.booster.refit(self._matrix[:REFIT_ROWS], self._labels[:REFIT_ROWS], decay_rate=DECAY)
            self._matrix, self._labels = self._matrix[REFIT_ROWS:], self._labels[REFIT_ROWS:]

    def state(self) -> Arrays:
        """All that it is."""
        text = numpy.frombuffer(self.booster.model_to_string().encode(), dtype=numpy.uint8)
        return {"booster": text, "waiting": self._matrix, "waiting_labels": self._labels}

    @staticmethod
    def from_state(state: Arrays) -> Trees:
        """What `state` was of."""
        lightgbm = load_lightgbm()

        booster = lightgbm.Booster(model_str=state["booster"].tobytes().decode())
        return Trees(booster, state["waiting"], state["waiting_labels"])


class Linear:
    """Logistic regression by stochastic gradient descent, on columns that are scaled as the warm-up rows were spread."""

    def __init__(self, scaler: Any, classifier: Any) -> None:
        self.scaler = scaler
        self.classifier = classifier

    @staticmethod
    def warmed_up(matrix: Array, labels: Array, seed: int) -> Linear:
        """After a few passes over these rows."""
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler().fit(matrix.astype(numpy.float64))
        scaler.scale_ = numpy.maximum(scaler.scale_, _SMALLEST_SCALE)
        linear = Linear(scaler, _descent(seed))
        for number in range(_WARM_UP_PASSES):
            order = numpy.random.default_rng([seed, number]).permutation(len(labels))
            linear.learn(matrix[order], labels[order])
        return linear

    def predict(self, matrix: Array) -> Array:
        """float64 [rows]: the probability of the second class."""
        return numpy.asarray(self.classifier.predict_proba(self._scaled(matrix))[:, 1])

    def learn(self, matrix: Array, labels: Array) -> None:
        """Take each label once."""
        self.classifier.partial_fit(self._scaled(matrix), labels, classes=[0, 1])

    def state(self) -> Arrays:
        """All that it is."""
        return {
            "mean": self.scaler.mean_,
            "scale": self.scaler.scale_,
            "coefficients": self.classifier.coef_,
            "intercept": self.classifier.intercept_,
            "steps": numpy.array(self.classifier.t_),
            "seed": numpy.array(self.classifier.random_state),
        }

    @staticmethod
    def from_state(state: Arrays) -> Linear:
        """What `state` was of."""
        from sklearn.preprocessing import StandardScaler

        width = len(state["mean"])
        scaler = StandardScaler().fit(numpy.zeros((2, width)))
        scaler.mean_, scaler.scale_, scaler.var_ = state["mean"], state["scale"], state["scale"] ** 2
        classifier = _descent(int(state["seed"]))
        classifier.partial_fit(numpy.zeros((2, width)), [0, 1], classes=[0, 1])
        classifier.coef_, classifier.intercept_, classifier.t_ = state["coefficients"], state["intercept"], float(state["steps"])
        return Linear(scaler, classifier)

    def _scaled(self, matrix: Array) -> Array:
        return numpy.asarray(self.scaler.transform(matrix.astype(numpy.float64)))


def _descent(seed: int) -> Any:
    from sklearn.linear_model import SGDClassifier

    return SGDClassifier(loss="log_loss", learning_rate="constant", eta0=STEP, random_state=seed)


@dataclass
class OnlineLearner:
    """Both members; `losses` float64 [2] are their log losses, of which the past fades."""

    trees: Trees
    linear: Linear
    losses: Array

    @staticmethod
    def warmed_up(matrix: Array, labels: Array, seed: int) -> OnlineLearner:
        """`matrix` float32 [rows, width], `labels` int64 [rows] of 0 and 1, both of them there."""
        members = Trees.warmed_up(matrix, labels, seed), Linear.warmed_up(matrix, labels, seed)
        return OnlineLearner(*members, numpy.zeros(2))

    @property
    def weights(self) -> Array:
        """float64 [2]: of the blend; they sum to 1."""
        likelihood = numpy.exp(self.losses.min() - self.losses)
        return numpy.asarray(likelihood / likelihood.sum())

    def predict(self, matrix: Array) -> Array:
        """float64 [rows]: the probability of the second class."""
        return numpy.asarray(self.weights @ self._answers(matrix))

    def learn(self, matrix: Array, labels: Array) -> None:
        """Score the members on the labels, then have each take these."""
        answers = numpy.clip(self._answers(matrix), _SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)
        of_truth = numpy.where(labels == 1, answers, 1 - answers)
        fading = MEMORY ** numpy.arange(len(labels) - 1, -1, -1)
        self.losses = self.losses * MEMORY ** len(labels) - (numpy.log(of_truth) * fading).sum(axis=1)
        self.trees.learn(matrix, labels)
        self.linear.learn(matrix, labels)

    def state(self) -> bytes:
        """All that it is, as an `.npz` file without pickles."""
        trees = {f"trees.{name}": array for name, array in self.trees.state().items()}
        linear = {f"linear.{name}": array for name, array in self.linear.state().items()}
        file = io.BytesIO()
        numpy.savez(file, losses=self.losses, **trees, **linear)  # type: ignore[arg-type]
        return file.getvalue()

    @staticmethod
    def from_state(content: bytes) -> OnlineLearner:
        """What `state` was of."""
        with numpy.load(io.BytesIO(content), allow_pickle=False) as arrays:
            trees, linear = (
                {name.removeprefix(prefix): arrays[name] for name in arrays.files if name.startswith(prefix)}
                for prefix in ("trees.", "linear.")
            )
            return OnlineLearner(Trees.from_state(trees), Linear.from_state(linear), arrays["losses"])

    def _answers(self, matrix: Array) -> Array:
        return numpy.stack([self.trees.predict(matrix), self.linear.predict(matrix)])
