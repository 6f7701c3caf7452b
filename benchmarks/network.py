"""What the network adds to the blend of the other learners: `python benchmarks/network.py --splits 5`.

Each split parts a table anew: 60 % to fit, 20 % to stop early and to weigh the blend, 20 % to score, which nothing saw before.
Every learner is fitted from its starting points; the blend is the product's (automl.ensemble), without the network and with it,
on the same fits. Prints a line a split, and then a row in Markdown: log loss and accuracy, and the gain with its spread.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split

from bankmlops.automl.algorithms import ALGORITHMS, NETWORK, Algorithm
from bankmlops.automl.ensemble import blend, select_weights
from bankmlops.automl.fitting import fit_and_score
from bankmlops.automl.metrics import log_loss
from bankmlops.automl.tasks import FitTask
from bankmlops.datasets import columns_of, find_source, read_table
from bankmlops.features import encode_labels, fit, matrix_from_columns

Array = numpy.ndarray[Any, Any]
Result = Mapping[str, Any]


def main() -> None:
    """Measure, and print."""
    options = _arguments()
    warnings.simplefilter("ignore")
    for name in options.datasets.split(","):
        matrix, labels = _table(name, options.rows)
        results = [_split(name, matrix, labels, split) for split in range(options.splits)]
        print(_row(name, results), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--datasets", default="digits,breast_cancer,bank")
    parser.add_argument("--rows", type=int, default=0, help="of a table, drawn at random: all, if left out")
    return parser.parse_args()


def _table(name: str, rows: int) -> tuple[Array, Array]:
    if name in ("digits", "breast_cancer"):
        matrix, labels = {"digits": load_digits, "breast_cancer": load_breast_cancer}[name](return_X_y=True)
        return matrix.astype(numpy.float32), labels.astype(numpy.int64)
    columns = columns_of(read_table(find_source(None, os.environ, Path("data")).path))
    specification = fit(columns, "y")
    matrix, labels = matrix_from_columns(specification, columns), encode_labels(specification, columns["y"])
    kept = numpy.random.default_rng(0).permutation(len(labels))[: rows or None]
    return matrix[kept], labels[kept]


def _split(name: str, matrix: Array, labels: Array, split: int) -> Result:
    known, scored = train_test_split(numpy.arange(len(labels)), test_size=0.2, stratify=labels, random_state=split)
    fitted, weighed = train_test_split(known, test_size=0.25, stratify=labels[known], random_state=split)
    both = numpy.concatenate([weighed, scored])
    started = time.process_time()
    others = [
        _answers(algorithm, start, matrix, labels, fitted, weighed, both)
        for algorithm in ALGORITHMS
        for start in algorithm.starts
    ]
    between = time.process_time()
    network = _answers(NETWORK, NETWORK.starts[0], matrix, labels, fitted, weighed, both)
    seconds = between - started, time.process_time() - between
    result = {
        "dataset": name,
        "split": split,
        "network": _scores(network[len(weighed) :], labels[scored]),
        "without": _blended(others, labels, weighed, scored),
        "with": _blended([*others, network], labels, weighed, scored),
        "cpu_seconds": seconds,
    }
    print(json.dumps(result), flush=True)
    return result


def _answers(
    algorithm: Algorithm, start: Mapping[str, float], matrix: Array, labels: Array, fitted: Array, weighed: Array, both: Array
) -> Array:
    """[weighed and scored rows, classes] of a fit that stops by the weighed rows."""
    estimator = _fitted(algorithm, start, matrix, labels, fitted, weighed)
    return numpy.asarray(estimator.predict_proba(matrix[both]), dtype=numpy.float64)


def _fitted(algorithm: Algorithm, start: Mapping[str, float], matrix: Array, labels: Array, fitted: Array, weighed: Array) -> Any:
    parameters = algorithm.settle(start)
    if algorithm.rounds:
        task = FitTask("stop", algorithm.name, parameters, 0, 1)
        held_out = matrix[weighed], labels[weighed]
        stopped = fit_and_score(task, matrix[fitted], labels[fitted], *held_out, int(labels.max()) + 1)
        parameters[algorithm.rounds] = max(stopped.rounds, 1)
    return algorithm.build(parameters, 1, 1).fit(matrix[fitted], labels[fitted])


def _blended(candidates: Sequence[Array], labels: Array, weighed: Array, scored: Array) -> Result:
    count = len(weighed)
    first = [candidate[:count] for candidate in candidates]
    weights = select_weights(first, labels[weighed], lambda blended: log_loss(labels[weighed], blended))
    mean = blend([candidate[count:] for candidate in candidates], weights)
    return {**_scores(mean, labels[scored]), "last_weight": float(weights[-1])}


def _scores(probabilities: Array, labels: Array) -> dict[str, float]:
    return {
        "log_loss": log_loss(labels, probabilities),
        "accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
    }


def _row(name: str, results: Sequence[Result]) -> str:
    def of(blend_name: str, metric: str) -> Array:
        return numpy.array([result[blend_name][metric] for result in results])

    gain = of("without", "log_loss") - of("with", "log_loss")
    right = of("with", "accuracy") - of("without", "accuracy")
    cells = [
        name,
        str(len(results)),
        f"{of('network', 'log_loss').mean():.5f}",
        f"{of('without', 'log_loss').mean():.5f}",
        f"{of('with', 'log_loss').mean():.5f}",
        f"{gain.mean():+.5f} (sd {gain.std(ddof=1):.5f}, better in {int((gain > 0).sum())})",
        f"{of('without', 'accuracy').mean():.4f}",
        f"{of('with', 'accuracy').mean():.4f} ({right.mean():+.4f}, sd {right.std(ddof=1):.4f})",
        f"{of('with', 'last_weight').mean():.2f}",
        f"{numpy.mean([result['cpu_seconds'][1] / result['cpu_seconds'][0] for result in results]):.1f}",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
