"""The model that a client downloads, where the winner is an ensemble."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest

from bankmlops.automl import pipeline
from bankmlops.automl.algorithms import algorithm_named
from bankmlops.emulator.automl import automl_bridge
from bankmlops.features import encode_labels, fit, matrix_from_columns
from support.automl_requests import submit_run
from support.scripted_backend import ScriptedBackend
from support.scripted_training import scripted_training
from support.served_emulator import Served
from unit.automl.tables import columns

MEMBERS = ("LightGBM", "LogisticRegression")
PUBLIC = ("sklearn.", "lightgbm.", "numpy", "scipy.", "collections", "builtins", "_codecs", "copyreg", "functools")


@pytest.fixture
def backend(served: Served, tmp_path: Path) -> Iterator[ScriptedBackend]:
    with scripted_training(served.emulator, tmp_path) as backend:
        yield backend


def _ensemble(table: dict[str, Any]) -> bytes:
    """As AutoML pickles a VotingEnsemble of two members."""
    specification = fit(table, "y")
    matrix, labels = matrix_from_columns(specification, table), encode_labels(specification, table["y"])
    members = []
    for name in MEMBERS:
        algorithm = algorithm_named(name)
        members.append(algorithm.build(algorithm.settle(algorithm.starts[0]), 1, 1).fit(matrix, labels))
    voting = pipeline.voting_classifier(MEMBERS, members, [0.7, 0.3], specification.classes)
    return pickle.dumps(pipeline.build_pipeline(specification, pipeline.ENSEMBLE_STEP, voting), protocol=5)


class _Strict(pickle.Unpickler):
    """Finds the classes of public packages alone."""

    def find_class(self, module: str, name: str) -> Any:
        assert module.startswith(PUBLIC), f"{module}.{name}"
        return super().find_class(module, name)


def test_the_model_of_an_ensemble(served: Served, backend: ScriptedBackend, tmp_path: Path) -> None:
    """What is downloaded as the best child's model has Azure's two steps, needs public packages alone, and blends its members."""
    table = columns(200, 2)
    backend.files["outputs/model.pkl"] = _ensemble(table)
    run_id = submit_run(served)
    automl_bridge.advance(served.emulator)
    backend.start()
    backend.add_child(0, "VotingEnsemble", 0.9)
    backend.complete()
    automl_bridge.advance(served.emulator)
    best = served.call("GET", "/history/v1.0", f"/experiments/bank/runs/{run_id}").json()["tags"]["automl_best_child_run_id"]
    container = f"/artifacts/content/ExperimentRun/dcid.{best}/outputs/model.pkl"
    (tmp_path / "model.pkl").write_bytes(served.call("GET", "/artifact/v2.0", container).content)
    with (tmp_path / "model.pkl").open("rb") as file:
        model = _Strict(file).load()
    assert [name for name, _ in model.steps] == ["datatransformer", "prefittedsoftvotingclassifier"]
    frame = pandas.DataFrame({name: values for name, values in table.items() if name != "y"})
    shown = [(name, [step for step, _ in member.steps]) for name, member in model.steps[1][1].estimators]
    assert shown == [("0-LightGBM", ["lightgbm"]), ("1-LogisticRegression", ["logisticregression"])]
    voting, matrix = model.steps[1][1], model.steps[0][1].transform(frame)
    blended = numpy.average([member.predict_proba(matrix) for member in voting.estimators_], axis=0, weights=[0.7, 0.3])
    assert numpy.allclose(model.predict_proba(frame), blended)
    assert set(model.predict(frame)) == set(table["y"])
