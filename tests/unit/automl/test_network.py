"""The network among the learners: trained by PyTorch, in trial processes and whole runs, and served where PyTorch is not."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import joblib
import numpy
import pandas
import psutil
import pytest

from bankmlops.automl import Trial, check_parity, export
from bankmlops.automl.algorithms import NETWORK
from bankmlops.automl.fitting import fit, fit_and_score
from bankmlops.automl.run import run_automl
from bankmlops.automl.tasks import ALL_ROWS, FitTask, estimator_path, graph_path
from bankmlops.features import encode_labels, matrix_from_columns
from bankmlops.features import fit as fit_features
from bankmlops.types import RunStatus
from support.executors import ROWS, small_executor
from unit.automl.tables import columns, config

# Looked for and not imported: that would cost each process seconds, also where none of these tests run.
_MISSING = not all(find_spec(name) for name in ("torch", "tabm"))
pytestmark = [pytest.mark.long, pytest.mark.skipif(_MISSING, reason="the extra deep is not installed")]

Array = numpy.ndarray[Any, Any]
WITHOUT_PYTORCH = """
import json, pathlib, pickle, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "tabm", "rtdl_num_embeddings"):
            raise ImportError(name)
sys.meta_path.insert(0, Missing())
outputs = pathlib.Path(sys.argv[1])
frame = pickle.loads((outputs / "frame.pkl").read_bytes())
if sys.argv[2] == "pickle":
    sys.modules["bankmlops"] = None
    print(json.dumps(pickle.loads((outputs / "model.pkl").read_bytes()).predict_proba(frame)[:, 1].tolist()))
else:
    from bankmlops.features import matrix_from_rows
    from bankmlops.scoring.bundle import load_bundle, open_session
    bundle = load_bundle(outputs / "bundle")
    matrix = matrix_from_rows(bundle.specification, json.loads(frame.to_json(orient="records")))
    print(json.dumps(open_session(bundle).run(["probabilities"], {"features": matrix})[0][:, 1].tolist()))
"""


def _task(**fields: Any) -> FitTask:
    parameters = NETWORK.settle(NETWORK.starts[0]) | {"d_block": 48, **fields.pop("parameters", {})}
    return FitTask(**{"name": "network", "algorithm": NETWORK.name, "parameters": parameters, "fold": 0, "seed": 1, **fields})


def _table(classes: int, rows: int = 400) -> tuple[Array, Array]:
    table = columns(rows, classes)
    specification = fit_features(table, "y")
    return matrix_from_columns(specification, table), encode_labels(specification, table["y"])


@pytest.mark.parametrize("classes", [2, 4])
def test_it_is_exported_truly(classes: int) -> None:
    """The graph and the pickle of a trained network answer what PyTorch answers, within float32's rounding."""
    from bankmlops.automl.network.columns import network_columns
    from bankmlops.automl.network.layers import layers_of
    from bankmlops.automl.network.plain import pieces_of, plain_classifier
    from bankmlops.automl.network.training import Examples, train

    matrix, labels = _table(classes)
    seen = network_columns(matrix, 16)
    parameters = _task(parameters={"epochs": 3, "n_blocks": 3}).parameters
    examples = Examples(seen.positions(matrix), labels)
    trained = train(seen, examples, None, parameters, seed=1, threads=1, device="cpu", is_over=lambda: False)
    other, _ = _table(classes, rows=900)
    import torch

    with torch.inference_mode():
        expected = trained.network(torch.as_tensor(seen.positions(other))).softmax(-1).mean(1).numpy()
    classifier = plain_classifier(pieces_of(seen), layers_of(trained.network, seen), numpy.arange(classes))
    model = export.merge([export.convert(classifier, NETWORK.name, matrix.shape[1])], [1.0], matrix.shape[1], classes)
    assert numpy.abs(classifier.predict_proba(other) - expected).max() < 1e-5
    assert numpy.abs(export.answers(model, other) - expected).max() < 1e-5


def test_a_wide_matrix_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first layer of a matrix of many categories is read part by part, and is what it is when read at once."""
    from bankmlops.automl.network import layers
    from bankmlops.automl.network.columns import network_columns
    from bankmlops.automl.network.training import Network

    generator = numpy.random.default_rng(0)
    categories = numpy.eye(400, dtype=numpy.float32)[generator.permutation(400)]
    seen = network_columns(numpy.hstack([categories, generator.normal(size=(400, 3)).astype(numpy.float32)]), 16)
    network = Network(seen, _task().parameters, classes=2)
    in_parts = layers.layers_of(network, seen)[0]
    monkeypatch.setattr(layers, "_AT_ONCE", 10**6)
    at_once = layers.layers_of(network, seen)[0]
    assert in_parts.weights.shape[1] == 400 + 3 * 16
    assert in_parts.weights == pytest.approx(at_once.weights, rel=1e-5, abs=1e-7)
    assert in_parts.biases == pytest.approx(at_once.biases, rel=1e-5, abs=1e-7)


def test_it_stops_when_the_held_out_loss_does() -> None:
    """It learns, keeps the epoch that was best on the rows held out, and goes on for no more than that."""
    matrix, labels = _table(2, rows=800)
    fitted = fit_and_score(_task(), matrix[:600], labels[:600], matrix[600:], labels[600:], 2)
    assert 0 < fitted.rounds < NETWORK.fixed["epochs"]
    assert not fitted.stopped_by_time
    assert (fitted.probabilities.argmax(axis=1) == labels[600:]).mean() > 0.75


def test_it_stops_in_time() -> None:
    """Training that could go on for long keeps to its seconds, with and without rows held out, and leaves a model."""
    matrix, labels = _table(2, rows=800)
    endless = _task(seconds=0.5, parameters={"epochs": 10**6, "learning_rate": 1e-7})
    started = time.monotonic()
    fitted = fit_and_score(endless, matrix[:600], labels[:600], matrix[600:], labels[600:], 2)
    assert fitted.stopped_by_time
    assert fit(endless, matrix, labels).predict_proba(matrix).shape == (800, 2)
    assert time.monotonic() - started < 20


def test_a_class_that_training_lacks() -> None:
    """Where the rows that it is fitted on lack a class, that class has the smallest probability."""
    matrix, labels = _table(4)
    fitted = fit_and_score(
        _task(parameters={"epochs": 2}), matrix[labels != 2], labels[labels != 2], matrix[:50], labels[:50], classes=4
    )
    assert fitted.probabilities[:, 2].max() < 1e-6


def test_the_same_seed_is_the_same_network() -> None:
    """Of the same rows the same seed makes the same network to the last bit, and another seed another one."""
    matrix, labels = _table(2)
    answers = [fit(_task(seed=seed, parameters={"epochs": 2}), matrix, labels).predict_proba(matrix) for seed in (1, 1, 2)]
    assert (answers[0] == answers[1]).all()
    assert (answers[0] != answers[2]).any()


def test_trial_processes(tmp_path: Path) -> None:
    """It is fitted in processes beside each other, in folds and on all rows; one that is killed costs itself alone."""
    with small_executor(tmp_path) as executor:
        tasks = [_task(name=f"fold-{fold}", fold=fold, seconds=20.0) for fold in range(3)]
        whole = _task(name="whole", fold=ALL_ROWS, parameters={"epochs": 2})
        endless = _task(name="endless", fold=ALL_ROWS, parameters={"epochs": 10**6})
        for task in (endless, *tasks, whole):
            executor.submit(task)
        executor.kill(endless)
        ended = {}
        while executor.running and (found := executor.next_ended(120.0)):
            ended[found[0].name] = found[1]
    assert ended.keys() == {"fold-0", "fold-1", "fold-2", "whole"}
    assert {result.error for result in ended.values()} == {""}
    assert ended["fold-0"].rounds > 0
    assert ended["fold-0"].probabilities.shape == (ROWS // 3, 2)
    assert ended["whole"].probabilities.shape == (ROWS, 2)
    assert "torch" not in str(type(joblib.load(estimator_path(tmp_path, whole))[-1].estimators_[0].coefs_[0]))
    assert graph_path(tmp_path, whole).stat().st_size > 0


def test_pytorch_is_imported_ahead_of_the_first_trial(tmp_path: Path) -> None:
    """While it is imported no trial is begun, ended or told: a run that has a network does that before all else."""
    task = FitTask("first", "LogisticRegression", {"C": 1.0}, ALL_ROWS, 1)
    found = []
    for network in (False, True):
        with small_executor(tmp_path / str(network), network=network) as executor:
            executor.submit(task)
            assert executor.next_ended(120.0)
            (nursery,) = (each for each in psutil.Process().children() if str(tmp_path / str(network)) in each.cmdline())
            found.append(any("libtorch" in mapped.path for mapped in nursery.memory_maps()))
    assert found == [False, True]


class _Told:
    def __init__(self) -> None:
        self.trials: list[Trial] = []

    def trial_ended(self, trial: Trial) -> None:
        self.trials.append(trial)

    def progressed(self, fraction: float, message: str) -> None:
        assert message


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, _Told, Array]:
    """A run that has the network alone, so that whatever wins is made of it; and what its pickle says of a frame."""
    outputs, told, table = tmp_path_factory.mktemp("run") / "outputs", _Told(), columns(600, 2)
    asked = config(table, enable_dnn=True, allowed_models=(NETWORK.name,), iterations=2, n_cross_validations=2)
    outcome = run_automl(table, asked, outputs, told, seconds=45.0)
    check_parity(outcome.parity)
    assert outcome.trials
    frame = pandas.DataFrame({name: values for name, values in table.items() if name != "y"}).head(40)
    frame.to_pickle(outputs / "frame.pkl")
    model = pickle.loads((outputs / "model.pkl").read_bytes())  # noqa: S301
    return outputs, told, model.predict_proba(frame)[:, 1]


def test_a_run_has_it_on_its_leaderboard(run: tuple[Path, _Told, Array]) -> None:
    """A trial of it completes, and says how many epochs it took."""
    _, told, _ = run
    trial = next(trial for trial in told.trials if trial.algorithm == NETWORK.name and trial.status is RunStatus.COMPLETED)
    assert 1 <= float(trial.parameters["epochs"]) <= NETWORK.fixed["epochs"]


@pytest.mark.parametrize("form", ["pickle", "bundle"])
def test_it_is_served_without_pytorch(run: tuple[Path, _Told, Array], form: str) -> None:
    """Where PyTorch can't be imported the bundle and the pickle answer the same; the pickle where this package can't be, too."""
    outputs, _, expected = run
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WITHOUT_PYTORCH, str(outputs), form],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=outputs,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path.endswith("src"))},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert numpy.abs(numpy.array(json.loads(done.stdout)) - expected).max() < 1e-4
