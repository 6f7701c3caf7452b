"""The files that an AutoML run leaves beside its model."""

from __future__ import annotations

import json
import pickle
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from sklearn.dummy import DummyClassifier

from bankmlops.emulator.automl import automl_files
from bankmlops.emulator.storage.table_facts import TableFacts, facts_of
from bankmlops.errors import InvalidRequestError

Script = Callable[[str, TableFacts], str]


def _facts(folder: Path, **columns: list[object]) -> TableFacts:
    pq.write_table(pa.table(columns), folder / "table.parquet")
    return facts_of(folder / "table.parquet", "y")


@pytest.fixture
def facts(tmp_path: Path) -> TableFacts:
    return _facts(
        tmp_path,
        age=[30, 40, 50],
        rate=[1.5, float("inf"), None],
        children=[1, None, 2],
        job=['it\'s "odd"', None, "b"],
        single=[True, False, True],
        y=["no", "no", "yes"],
    )


def _run(
    facts: TableFacts,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: object,
    script_of: Script = automl_files.scoring_script,
) -> dict[str, Any]:
    """The script's functions, after its `init()` with this model, which lies in a folder as that of a registered folder does."""
    (folder / "outputs").mkdir()
    (folder / "outputs" / "model.pkl").write_bytes(pickle.dumps(model))
    (folder / "score.py").write_text(script_of("AutoML_1_0", facts))
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(folder))
    script = runpy.run_path(str(folder / "score.py"), run_name=folder.name)
    script["init"]()
    return script


def test_what_is_remembered_of_a_table(facts: TableFacts) -> None:
    """Types as pandas has them, an example that occurs, gaps and classes; JSON and back is the same."""
    found = {feature.name: (feature.dtype, feature.example, feature.missing) for feature in facts.features}
    assert found == {
        "age": ("int64", 30, 0),
        "rate": ("float64", 1.5, 1),
        "children": ("float64", 1, 1),
        "job": ("object", 'it\'s "odd"', 1),
        "single": ("bool", True, 0),
    }
    assert facts.classes == {"no": 2, "yes": 1}
    assert TableFacts.from_document(json.loads(json.dumps(facts.to_document()))) == facts


def test_a_label_that_is_not_there(tmp_path: Path) -> None:
    """The error names the columns that are."""
    pq.write_table(pa.table({"age": [1], "job": ["a"]}), tmp_path / "table.parquet")
    with pytest.raises(InvalidRequestError, match="'y' is not in the dataset; its columns: age, job"):
        facts_of(tmp_path / "table.parquet", "y")


def test_the_scoring_script(facts: TableFacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It loads the model by AZUREML_MODEL_DIR, takes a list of rows, and answers JSON text with a label for each."""
    frame = pd.DataFrame({feature.name: [feature.example] * 2 for feature in facts.features})
    model = DummyClassifier(strategy="constant", constant="no").fit(frame, ["no", "yes"])
    script = _run(facts, tmp_path, monkeypatch, model)
    row = {"age": 33, "rate": None, "children": 2, "job": "b", "single": False}
    assert json.loads(script["run"](data=[row, row])) == {"result": ["no", "no"]}


def test_the_second_scoring_script(facts: TableFacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes `Inputs` and a method, answers labels or probabilities, and names the methods there are."""
    frame = pd.DataFrame({feature.name: [feature.example] * 2 for feature in facts.features})
    model = DummyClassifier(strategy="constant", constant="no").fit(frame, ["no", "yes"])
    script = _run(facts, tmp_path, monkeypatch, model, automl_files.scoring_script_v2)
    inputs = {"data": [{"age": 33, "rate": None, "children": 2, "job": "b", "single": False}]}
    assert script["run"](Inputs=inputs) == {"Results": ["no"]}
    assert script["run"](Inputs=inputs, GlobalParameters={"method": "predict_proba"}) == {"Results": [[1.0, 0.0]]}
    with pytest.raises(ValueError, match="'fit' is unknown; give 'predict' or 'predict_proba'"):
        script["run"](Inputs=inputs, GlobalParameters={"method": "fit"})


def test_the_scoring_script_says_what_is_wrong(facts: TableFacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that refuses the data is an answer with `error`, as AutoML's own script gives it."""
    script = _run(facts, tmp_path, monkeypatch, "not a model")
    assert "predict" in json.loads(script["run"](data=[{feature.name: feature.example for feature in facts.features}]))["error"]


def test_the_schema_of_the_scoring_script(facts: TableFacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table's columns are the schema that the service publishes."""
    from inference_schema.schema_util import get_input_schema, get_output_schema

    script = _run(facts, tmp_path, monkeypatch, "any")
    items = get_input_schema(script["run"])["properties"]["data"]["items"]["properties"]
    assert {name: each["type"] for name, each in items.items()} == {
        "age": "integer",
        "rate": "number",
        "children": "number",
        "job": "string",
        "single": "boolean",
    }
    assert get_output_schema(script["run"])["example"] == ["no"]


def test_the_conda_file() -> None:
    """It pins what trained the model, and has what the SDK wants for a service."""
    environment = yaml.safe_load(automl_files.conda_file())
    pips = environment["dependencies"][1]["pip"]
    assert "azureml-defaults" in pips
    assert f"scikit-learn=={automl_files.dependencies()['scikit-learn']}" in pips


def test_guardrails(tmp_path: Path) -> None:
    """Imbalance, gaps and many-valued texts are found in the data, and their absence is said too."""
    many = [f"text {number}" for number in range(120)]
    bad = _facts(tmp_path, text=many, gap=[None, *range(119)], y=["no"] * 110 + ["yes"] * 10)
    faults = json.loads(automl_files.guardrails(bad))["faults"]
    assert [fault["result"] for fault in faults] == ["alerted", "done", "done"]
    assert faults[0]["friendly_parameters"][0]["Size of the smallest class"] == "10"
    assert faults[1]["friendly_parameters"] == [{"Column name": "gap", "Missing value count": "1"}]
    assert faults[2]["friendly_parameters"] == [{"Column name": "text", "Distinct values": "120"}]
    good = _facts(tmp_path, age=[1, 2], y=["no", "yes"])
    assert {fault["result"] for fault in json.loads(automl_files.guardrails(good))["faults"]} == {"passed"}


def test_problem_info(facts: TableFacts) -> None:
    """It counts what is in the table."""
    info = json.loads(automl_files.problem_info(facts))
    assert (info["dataset_samples"], info["dataset_features"], info["dataset_num_categorical"], info["dataset_classes"]) == (
        3,
        5,
        2,
        2,
    )
    assert info["single_frequency_class_detected"] is True


@pytest.mark.parametrize(
    ("labels", "shown"),
    [([0, 1, 1], [0]), ([True, False, False], [True]), ([0.5, 1.5, 1.5], [0.5]), (["no", "yes", "yes"], ["no"])],
)
def test_the_label_in_the_schema(
    labels: list[object], shown: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer that the service's description is made of is a number or a truth where the labels are such."""
    script = _run(_facts(tmp_path, age=[1, 2, 3], y=labels), tmp_path, monkeypatch, "any")
    assert script["output_sample"].tolist() == shown
