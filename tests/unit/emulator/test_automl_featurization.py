"""The files that say what featurization made of the columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bankmlops.emulator.automl import automl_bridge
from bankmlops.emulator.automl.automl_featurization import summary
from bankmlops.features import fit
from support.automl_requests import submit_run
from support.scripted_backend import ScriptedBackend
from support.scripted_training import scripted_training
from support.served_emulator import Served

TABLE: dict[str, Any] = {
    "age": np.array([20.0, 30.0, np.nan, 40.0]),
    "job": np.array(["a", "b", "a", "b"], dtype=object),
    "when": np.array(["2026-01-01", "2026-02-03", "2026-03-01", "2026-04-05"], dtype=object),
    "same": np.array(["x"] * 4, dtype=object),
    "y": np.array(["no", "yes", "no", "yes"], dtype=object),
}


@pytest.fixture
def backend(served: Served, tmp_path: Path) -> Iterator[ScriptedBackend]:
    with scripted_training(served.emulator, tmp_path) as backend:
        yield backend


def test_the_summary() -> None:
    """A record a column: what it was taken for, what was made of it, and whether it was dropped."""
    records = {record["RawFeatureName"]: record for record in summary(json.loads(fit(TABLE, "y").to_json()))}
    assert {name: (record["TypeDetected"], record["Dropped"]) for name, record in records.items()} == {
        "age": ("Numeric", "No"),
        "job": ("Categorical", "No"),
        "when": ("DateTime", "No"),
        "same": ("Ignore", "Yes"),
    }
    assert (records["job"]["EngineeredFeatureCount"], records["job"]["Transformations"]) == (2, ["OneHotEncoder"])
    assert records["age"]["TransformationParams"]["Transformer1"]["Input"] == ["age"]


def test_the_best_child_has_it(served: Served, backend: ScriptedBackend) -> None:
    """It is among the files of the child that won, and the names of the matrix' columns are too."""
    backend.files["outputs/bundle/features.json"] = fit(TABLE, "y").to_json().encode()
    run_id = submit_run(served)
    automl_bridge.advance(served.emulator)
    backend.start()
    backend.add_child(0, "LightGBM", 0.9)
    backend.complete()
    automl_bridge.advance(served.emulator)

    def read(name: str) -> Any:
        return served.call("GET", "/artifact/v2.0", f"/artifacts/content/ExperimentRun/dcid.{run_id}_0/outputs/{name}").json()

    assert len(read("featurization_summary.json")) == 4
    assert read("engineered_feature_names.json")[:3] == ["age", "job_a", "job_b"]
