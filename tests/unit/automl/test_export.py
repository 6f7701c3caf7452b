"""The exported graph and the pickled pipeline answer what the trained members answer."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy
import onnx
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bankmlops.automl import export, pipeline
from bankmlops.automl.algorithms import ALGORITHM_NAMES, algorithm_named
from bankmlops.automl.bundle import write_bundle
from bankmlops.automl.metrics import predicted_codes
from bankmlops.automl.parity import PARITY_LIMIT
from bankmlops.automl.stacking import fit_meta_learner
from bankmlops.features import (
    ColumnKind,
    ColumnSpecification,
    FeatureSpecification,
    encode_labels,
    fit,
    matrix_from_columns,
)
from bankmlops.features.profile import DataProfile
from bankmlops.features.words import words_of
from bankmlops.scoring.bundle import load_bundle
from unit.automl.tables import columns

Array = numpy.ndarray[Any, Any]

_READ_IT = """
import pathlib, pickle, sys
sys.modules["bankmlops"] = None
folder = pathlib.Path(sys.argv[1])
model, frame = (pickle.loads((folder / name).read_bytes()) for name in ("model.pkl", "frame.pkl"))
print(len(model.predict_proba(frame)))
"""


def _table(classes: int) -> tuple[FeatureSpecification, Array, Array, dict[str, Array]]:
    table = columns(400, classes)
    specification = fit(table, "y")
    return specification, matrix_from_columns(specification, table), encode_labels(specification, table["y"]), table


def _fitted(name: str, matrix: Array, labels: Array) -> Any:
    algorithm = algorithm_named(name)
    parameters = algorithm.settle(algorithm.starts[0])
    if "n_estimators" in parameters:
        parameters["n_estimators"] = 30
    return algorithm.build(parameters, 1, 1).fit(matrix, labels)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("name", ALGORITHM_NAMES)
def test_each_learner_is_exported_truly(name: str, classes: int) -> None:
    """A learner's graph answers its probabilities within float32's rounding, for two classes and for more."""
    specification, matrix, labels, _ = _table(classes)
    estimator = _fitted(name, matrix, labels)
    graph = export.convert(estimator, name, specification.width)
    model = export.merge([graph], [1.0], specification.width, classes)
    assert numpy.abs(export.answers(model, matrix) - estimator.predict_proba(matrix)).max() < 1e-5


@pytest.mark.parametrize("classes", [2, 4])
def test_the_mean_of_all_learners(classes: int, tmp_path: Path) -> None:
    """The merged graph and the pickled pipeline over a data frame answer the members' weighted mean, and the classes' names."""
    specification, matrix, labels, table = _table(classes)
    members = [_fitted(name, matrix, labels) for name in ALGORITHM_NAMES]
    weights = [0.4, 0.3, 0.1, 0.1, 0.1]
    expected = sum(member.predict_proba(matrix) * weight for member, weight in zip(members, weights, strict=True))
    graphs = [export.convert(member, name, specification.width) for member, name in zip(members, ALGORITHM_NAMES, strict=True)]
    model = export.merge(graphs, weights, specification.width, classes)
    assert numpy.abs(export.answers(model, matrix) - expected).max() < 1e-5
    voting = pipeline.voting_classifier(ALGORITHM_NAMES, members, weights, specification.classes)
    joblib.dump(pipeline.build_pipeline(specification, pipeline.ENSEMBLE_STEP, voting), tmp_path / "model.pkl")
    loaded = joblib.load(tmp_path / "model.pkl")
    frame = pandas.DataFrame({name: values for name, values in table.items() if name != "y"})
    assert numpy.abs(loaded.predict_proba(frame) - expected).max() < 1e-6
    assert set(loaded.predict(frame)) <= set(specification.classes)
    assert list(loaded.named_steps) == ["datatransformer", "prefittedsoftvotingclassifier"]


@pytest.mark.parametrize("classes", [2, 4])
def test_the_stack_of_all_learners(classes: int, tmp_path: Path) -> None:
    """The graph and the pickle answer what the meta learner makes of the members, and the pickle answers the classes' names."""
    specification, matrix, labels, table = _table(classes)
    members = [_fitted(name, matrix, labels) for name in ALGORITHM_NAMES]
    answers = [member.predict_proba(matrix) for member in members]
    learner = fit_meta_learner(answers, labels)
    expected = learner.answer(answers)
    graphs = [export.convert(member, name, specification.width) for member, name in zip(members, ALGORITHM_NAMES, strict=True)]
    model = export.stack(graphs, learner, specification.width, classes)
    assert numpy.abs(export.answers(model, matrix) - expected).max() < PARITY_LIMIT / 5
    stacking = pipeline.stacking_classifier(ALGORITHM_NAMES, members, learner.classifier, specification.classes)
    joblib.dump(pipeline.build_pipeline(specification, pipeline.STACK_STEP, stacking), tmp_path / "model.pkl")
    loaded = joblib.load(tmp_path / "model.pkl")
    frame = pandas.DataFrame({name: values for name, values in table.items() if name != "y"})
    assert numpy.abs(loaded.predict_proba(frame) - expected).max() < 1e-6
    assert (loaded.predict(frame) == numpy.array(specification.classes)[predicted_codes(expected)]).all()
    assert list(loaded.named_steps) == ["datatransformer", "stackensembleclassifier"]


def test_the_stack_needs_nothing_of_ours(tmp_path: Path) -> None:
    """The pickle of a stack is read, and answers, where this package can't be imported."""
    specification, matrix, labels, table = _table(2)
    member = _fitted("LogisticRegression", matrix, labels)
    learner = fit_meta_learner([member.predict_proba(matrix)], labels)
    stacking = pipeline.stacking_classifier(["LogisticRegression"], [member], learner.classifier, specification.classes)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(pipeline.build_pipeline(specification, pipeline.STACK_STEP, stacking)))
    pandas.DataFrame({name: values for name, values in table.items() if name != "y"}).to_pickle(tmp_path / "frame.pkl")
    done = subprocess.run(
        [sys.executable, "-c", _READ_IT, str(tmp_path)], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "400"), done.stderr


def _dates(rows: int) -> Array:
    texts = [f"20{row % 30:02}-0{1 + row % 9}-1{row % 10}T0{row % 7}:{row % 60:02}:07.5+02:00" for row in range(rows)]
    return numpy.array([text if row % 11 else None for row, text in enumerate(texts)], dtype=object)


def _notes(rows: int) -> Array:
    texts = [f"Word{row % 7} and word{row % 5}, ΑΣ no {row} straße İstanbul{row % 3}" for row in range(rows)]
    return numpy.array([text if row % 13 else None for row, text in enumerate(texts)], dtype=object)


_WRITTEN = st.text(max_size=30) | st.sampled_from(
    ["na\u00efve", "nai\u0308ve", "\u1e9b\u0323 caf\u00e9", "I\u0307n \ud55c\uae00 \u1112\u1161\u11ab"]
)


@given(st.lists(st.none() | _WRITTEN, min_size=2, max_size=8))
@settings(max_examples=60, deadline=None)
def test_words_are_scikit_learn_s(texts: list[str | None]) -> None:
    """Of any texts the pickled transformer finds the words that the specification finds."""
    table = {"note": numpy.array(texts, dtype=object), "y": numpy.array(["no", "yes"] * 4, dtype=object)[: len(texts)]}
    words = sorted({word for text in texts if text for word in words_of(text)}) or ["none"]
    specification = FeatureSpecification(
        (ColumnSpecification("note", ColumnKind.STRING, words=tuple(words)),), "y", ("no", "yes")
    )
    transformer = pipeline.build_pipeline(specification, "none", "passthrough").named_steps["datatransformer"]
    made = transformer.transform(pandas.DataFrame({"note": pandas.Series(texts, dtype=object)}))
    assert made.tobytes() == matrix_from_columns(specification, table).tobytes()


def test_the_pipeline_makes_the_very_matrix(tmp_path: Path) -> None:
    """The pickled transformer's matrix is the specification's, byte for byte: gaps, unknown categories, dates, words."""
    seen = columns(400, 2) | {"half": columns(400, 2)["whole"] / 2, "when": _dates(400), "note": _notes(400)}
    specification = fit(seen, "y", ["whole", "half"], ["note"])
    other = columns(100, 2, seed=9)
    other["text"][:5] = "never seen"
    other["half"] = numpy.where(other["flag"], numpy.nan, other["whole"] / 2)
    other["whole"][:5] = 1000
    other["note"] = _notes(100)
    other["note"][:4] = [None, "", "ΑΣ İstanbul Straße, naïve_1!", "word1 WORD2\nword3"]
    other["when"] = _dates(100)
    other["when"][:4] = [None, "9999-12-31", "0001-01-01 00:00:01", "2026-01-31T23:30:00-0230"]
    frame = pandas.DataFrame({name: values for name, values in other.items() if name != "y"})
    transformer = pipeline.build_pipeline(specification, "none", "passthrough").named_steps["datatransformer"]
    made = transformer.transform(frame)
    assert made.dtype == numpy.float32
    assert made.tobytes() == matrix_from_columns(specification, other).tobytes()


def test_the_service_reads_the_bundle(tmp_path: Path) -> None:
    """What is written is what the scoring service verifies and loads."""
    specification, matrix, labels, table = _table(2)
    graph = export.convert(_fitted("LogisticRegression", matrix, labels), "LogisticRegression", specification.width)
    model = export.merge([graph], [1.0], specification.width, 2)
    example = {column.name: None for column in specification.columns}
    write_bundle(tmp_path / "bundle", model, specification, "LogisticRegression", example, matrix[:20], DataProfile(0, ()))
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.model == model
    assert bundle.specification == specification
    assert (bundle.threshold, bundle.label_column) == (0.5, "y")
    assert (bundle.background == matrix[:20]).all()
    onnx.checker.check_model(onnx.load_from_string(bundle.model))
    assert table["y"][0] in bundle.classes
