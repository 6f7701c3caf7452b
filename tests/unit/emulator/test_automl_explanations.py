"""The explanation of an AutoML run's best child, as an asset with files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bankmlops.emulator.automl import automl_bridge
from support.automl_requests import submit_run
from support.scripted_backend import ScriptedBackend
from support.scripted_training import scripted_training
from support.served_emulator import Served

IMPORTANCE = {"importance": {"job": 0.5, "age": 0.25}, "rows": 4, "shown_class": "yes", "base": 0.1}


@pytest.fixture
def backend(served: Served, tmp_path: Path) -> Iterator[ScriptedBackend]:
    with scripted_training(served.emulator, tmp_path) as backend:
        yield backend


def _best_child(served: Served, backend: ScriptedBackend) -> str:
    run_id = submit_run(served)
    automl_bridge.advance(served.emulator)
    backend.start()
    backend.add_child(0, "LightGBM", 0.9)
    backend.complete()
    automl_bridge.advance(served.emulator)
    return f"{run_id}_0"


def _assets(served: Served, **query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = served.call("GET", "/modelmanagement/v1.0", "/assets", params=query).json()["value"]
    return found


def test_what_was_asked_for_is_explained(served: Served, backend: ScriptedBackend) -> None:
    """The asset is found by run, type and properties; its files tell the columns and their importance, the largest first."""
    backend.files["outputs/importance.json"] = json.dumps(IMPORTANCE).encode()
    child = _best_child(served, backend)
    (asset,) = _assets(served, runId=child, type="azureml.explanation")
    properties = asset["properties"]
    assert (properties["is_raw"], properties["num_features"], properties["num_classes"]) == ("True", "2", "2")
    assert _assets(served, runId=child, properties=f"explanation_id={properties['explanation_id']}") == [asset]
    assert _assets(served, runId=child, properties="explanation_id=another") == []
    assert _assets(served, runId=child, type="another") == []
    folder = asset["artifacts"][0]["prefix"].removeprefix("ExperimentRun/")

    def read(name: str) -> Any:
        return served.call("GET", "/artifact/v2.0", f"/artifacts/content/ExperimentRun/{folder}/{name}.interpret.json").json()

    assert read("features") == ["age", "job"]
    assert read("global_names/0") == ["job", "age"]
    assert read("global_rank/0") == [1, 0]
    assert read("global_values/0") == [0.5, 0.25]
    assert read("rich_metadata")["global_values"]["num_features"] == 2


def test_the_run_that_explained_it(served: Served, backend: ScriptedBackend) -> None:
    """Clients find it by its id and by the run's property, completed; it is not among the run's trials."""
    backend.files["outputs/importance.json"] = json.dumps(IMPORTANCE).encode()
    parent = _best_child(served, backend).rpartition("_")[0]

    def run(path: str) -> Any:
        return served.call("GET", "/history/v1.0", f"/experiments/bank/runs/{path}").json()

    assert run(parent)["properties"]["ModelExplainRunId"] == f"{parent}_ModelExplain"
    assert run(f"{parent}_ModelExplain")["status"] == "Completed"
    assert [child["runId"] for child in run(f"{parent}/children")["value"]] == [f"{parent}_0"]


def test_without_an_explanation(served: Served, backend: ScriptedBackend) -> None:
    """A run that was not asked to explain itself has no asset."""
    assert _assets(served, runId=_best_child(served, backend)) == []
