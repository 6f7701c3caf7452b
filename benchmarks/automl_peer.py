"""One AutoML of others on one split, in a process of the environment that `requirements/automl-peers.txt` makes.

    python benchmarks/automl_peer.py NAME FOLDER --seconds 60 --seed 0 --cores 2

FOLDER holds `train.parquet` and `test.parquet`, with the label in the column y. It gets `answer.json`: the probabilities of the
test rows, the classes in their order, the seconds from the first look at the training rows to the last probability (imports and
servers are up before), and the version. `automl_peers.py` starts it; nothing of bankmlops is needed or imported here.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas

LABEL = "y"
Fit = Callable[[pandas.DataFrame, pandas.DataFrame, argparse.Namespace], tuple[list[list[float]], list[str]]]


def main() -> None:
    """Fit, score and write the answer."""
    options = _arguments()
    train, test = (pandas.read_parquet(options.folder / f"{part}.parquet") for part in ("train", "test"))
    package, started_up = PEERS[options.name]
    with started_up(options) as fit:
        started = time.perf_counter()
        probabilities, classes = fit(train, test.drop(columns=LABEL), options)
        seconds = time.perf_counter() - started
    answer = {"probabilities": probabilities, "classes": classes, "seconds": seconds, "versions": {package: version(package)}}
    (options.folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=PEERS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--cores", type=int, required=True)
    return parser.parse_args()


@contextmanager
def _autogluon(options: argparse.Namespace, presets: str, **more: object) -> Iterator[Fit]:
    """The best preset goes without its trial of stacking: that takes a quarter of a budget, and in a short one fails."""
    from autogluon.tabular import TabularPredictor

    def fit(train: pandas.DataFrame, test: pandas.DataFrame, options: argparse.Namespace) -> Any:
        predictor = TabularPredictor(
            label=LABEL,
            eval_metric="log_loss",
            path=str(options.folder / "autogluon"),
            verbosity=0,
            learner_kwargs={"random_state": options.seed},
        ).fit(train, presets=presets, time_limit=options.seconds, num_cpus=options.cores, num_gpus=0, **more)
        found = predictor.predict_proba(test)
        return found.to_numpy().tolist(), [str(name) for name in found.columns]

    yield fit


@contextmanager
def _h2o(options: argparse.Namespace) -> Iterator[Fit]:
    """A server on loopback for this one split."""
    import h2o
    from h2o.automl import H2OAutoML

    def fit(train: pandas.DataFrame, test: pandas.DataFrame, options: argparse.Namespace) -> Any:
        kinds = {name: "enum" for name in train if name == LABEL or not pandas.api.types.is_numeric_dtype(train[name])}
        rows = h2o.H2OFrame(train, column_types=kinds)
        automl = H2OAutoML(max_runtime_secs=round(options.seconds), sort_metric="logloss", seed=options.seed, verbosity=None)
        automl.train(y=LABEL, training_frame=rows)
        kinds.pop(LABEL)
        found = automl.leader.predict(h2o.H2OFrame(test, column_types=kinds)).as_data_frame(use_multi_thread=False)
        return found.iloc[:, 1:].to_numpy().tolist(), rows[LABEL].levels()[0]

    h2o.init(
        ip="127.0.0.1", nthreads=options.cores, max_mem_size="4G", ice_root=str(options.folder), verbose=False, telemetry=False
    )
    h2o.no_progress()
    try:
        yield fit
    finally:
        h2o.cluster().shutdown()


PEERS: Mapping[str, tuple[str, Callable[[argparse.Namespace], AbstractContextManager[Fit]]]] = {
    "autogluon": ("autogluon.tabular", partial(_autogluon, presets="medium_quality")),
    "autogluon best": ("autogluon.tabular", partial(_autogluon, presets="best_quality", dynamic_stacking=False)),
    "h2o": ("h2o", _h2o),
}


if __name__ == "__main__":
    main()
