"""What becomes of a trained network: how it sees the matrix, and that its two plain forms answer alike. PyTorch takes no part."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy
import pytest

from bankmlops.automl import export
from bankmlops.automl.algorithms import NETWORK, algorithm_named
from bankmlops.automl.network.columns import NetworkColumns, network_columns
from bankmlops.automl.network.library import missing_packages
from bankmlops.automl.network.plain import Layer, pieces_of, plain_classifier
from bankmlops.automl.parity import PARITY_LIMIT
from bankmlops.automl.stacking import fit_meta_learner
from bankmlops.automl.tasks import FitTask
from bankmlops.automl.validation import allowed_algorithms, validate_config
from bankmlops.errors import InvalidRequestError
from support.executors import small_executor
from unit.automl.tables import columns as table_columns
from unit.automl.tables import config

Array = numpy.ndarray[Any, Any]
ROWS, MEMBERS, UNITS = 200, 3, 8
TABLE = table_columns(50, 2)


def _matrix() -> Array:
    """A skewed number, a constant, three categories of which some rows have none, and a flag of two columns."""
    generator = numpy.random.default_rng(0)
    categories = numpy.eye(4)[generator.integers(0, 4, ROWS)][:, :3]
    flag = numpy.eye(2)[generator.integers(0, 2, ROWS)]
    number = generator.lognormal(0.0, 3.0, (ROWS, 1))
    return numpy.hstack([number, numpy.ones((ROWS, 1)), categories, flag]).astype(numpy.float32)


def _layers(columns: NetworkColumns, classes: int) -> list[Layer]:
    generator = numpy.random.default_rng(1)
    sizes = [len(pieces_of(columns).columns), UNITS, UNITS, classes]

    def single(*shape: int) -> Array:
        return generator.normal(size=shape).astype(numpy.float32)

    return [Layer(single(MEMBERS, before, after), single(MEMBERS, after)) for before, after in pairwise(sizes)]


def test_the_columns_that_it_sees() -> None:
    """Categories are told by their ones, a flag is straight, a number is bent at its quantiles, and a constant is left out."""
    columns = network_columns(_matrix(), 8)
    assert columns.categories == ((2, 3, 4),)
    assert [flag.column for flag in columns.flags] == [5, 6]
    assert [(number.column, len(number.knots)) for number in columns.numbers] == [(0, 9)]


def test_what_lies_beyond_the_knots() -> None:
    """A number above or below all that training saw counts as the highest or the lowest of these."""
    matrix = _matrix()
    columns = network_columns(matrix, 8)
    beyond = matrix[:2].copy()
    beyond[:, 0] = -1e30, 1e30
    seen = columns.positions(beyond)[:, 0]
    assert seen.tolist() == [pytest.approx(place) for place in columns.numbers[0].positions[[0, -1]]]


def test_nothing_to_learn_from() -> None:
    """A matrix in which every row is the same has no columns for a network."""
    with pytest.raises(ValueError, match="every column says the same"):
        network_columns(numpy.ones((5, 3), dtype=numpy.float32), 8)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_graph_answers_what_the_classifier_answers(classes: int) -> None:
    """The pickled classifier and the ONNX graph agree, for rows far outside and unknown categories too, and are probabilities."""
    matrix = _matrix()
    columns = network_columns(matrix, 8)
    classifier = plain_classifier(pieces_of(columns), _layers(columns, classes), numpy.arange(classes))
    classifier = pickle.loads(pickle.dumps(classifier))  # noqa: S301
    strange = numpy.vstack([matrix, matrix * 1e9, matrix * 0])
    expected = classifier.predict_proba(strange)
    graph = export.convert(classifier, NETWORK.name, matrix.shape[1])
    answers = export.answers(export.merge([graph], [1.0], matrix.shape[1], classes), strange)
    assert numpy.abs(answers - expected).max() < 1e-6
    assert answers.sum(axis=1) == pytest.approx(1.0, abs=1e-6)
    assert set(classifier.predict(matrix)) <= set(range(classes))


@pytest.mark.parametrize("classes", [2, 4])
def test_it_is_blended_with_other_learners(classes: int) -> None:
    """Beside trees and a linear model it is a member like any, of the mean and of a stack, in the graph as in the pickle."""
    matrix = _matrix()
    labels = numpy.arange(ROWS) % classes
    columns = network_columns(matrix, 8)
    members = {
        NETWORK.name: plain_classifier(pieces_of(columns), _layers(columns, classes), numpy.arange(classes)),
        **{name: _fitted(name, matrix, labels) for name in ("LightGBM", "LogisticRegression")},
    }
    graphs = [export.convert(member, name, matrix.shape[1]) for name, member in members.items()]
    answers = [member.predict_proba(matrix) for member in members.values()]
    mean = export.answers(export.merge(graphs, [0.5, 0.3, 0.2], matrix.shape[1], classes), matrix)
    assert numpy.abs(mean - sum(share * each for share, each in zip((0.5, 0.3, 0.2), answers, strict=True))).max() < 1e-5
    learner = fit_meta_learner(answers, labels)
    stacked = export.answers(export.stack(graphs, learner, matrix.shape[1], classes), matrix)
    assert numpy.abs(stacked - learner.answer(answers)).max() < PARITY_LIMIT / 5


def _fitted(name: str, matrix: Array, labels: Array) -> Any:
    algorithm = algorithm_named(name)
    parameters = algorithm.settle(algorithm.starts[0]) | ({algorithm.rounds: 10} if algorithm.rounds else {})
    return algorithm.build(parameters, 1, 1).fit(matrix, labels)


def test_the_network_is_asked_for() -> None:
    """It is no learner unless it is asked for, and it can't be named without."""
    assert NETWORK.name not in allowed_algorithms(config(TABLE))
    assert allowed_algorithms(config(TABLE, enable_dnn=True))[-1] == NETWORK.name
    assert algorithm_named(NETWORK.name) is NETWORK
    with pytest.raises(InvalidRequestError, match="TabMClassifier is among the learners with enable_dnn alone; set that too"):
        validate_config(config(TABLE, allowed_models=(NETWORK.name,)))


@pytest.mark.slow
def test_pytorch_is_imported_where_a_network_is_fitted(tmp_path: Path) -> None:
    """A run's modules, those of its trial processes too, import neither PyTorch nor `tabm`."""
    code = (
        "import sys, bankmlops.automl.run, bankmlops.automl.nursery as nursery; nursery.import_learners();"
        "from bankmlops.automl.network import estimator, graph, plain; print([n for n in ('torch', 'tabm') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=tmp_path, check=True)
    assert done.stdout.strip() == "[]"


def test_where_its_packages_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that asks for it is refused in one line that says what to install."""
    monkeypatch.setattr("bankmlops.automl.network.library.PACKAGES", ("json", "no_such_package"))
    assert missing_packages() == ("no_such_package",)
    with pytest.raises(InvalidRequestError, match=r"^enable_dnn needs no_such_package: install bankmlops\[deep\]"):
        validate_config(config(TABLE, enable_dnn=True))
    validate_config(config(TABLE))


@pytest.mark.slow
def test_a_broken_pytorch_costs_the_network_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyTorch is installed and can't be loaded, a fit of the network says why, and the other learners are fitted."""
    (tmp_path / "broken").mkdir()
    for package in ("torch", "tabm"):
        (tmp_path / "broken" / f"{package}.py").write_text("raise OSError('libgomp.so: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"), prepend=os.pathsep)
    parameters = NETWORK.settle(NETWORK.starts[0])
    linear = FitTask("linear", "LogisticRegression", {"C": 1.0}, fold=0, seed=1)
    with small_executor(tmp_path) as executor:
        errors = []
        for task in (FitTask("network", NETWORK.name, parameters, fold=0, seed=1), linear):
            executor.submit(task)
            ended = executor.next_ended(120.0)
            assert ended is not None
            errors.append(ended[1].error)
    assert errors == ["PyTorch can't be imported: OSError: libgomp.so: cannot open shared object file", ""]
