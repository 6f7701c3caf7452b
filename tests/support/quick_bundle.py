"""A bundle in milliseconds, as an AutoML run would leave it: what the online loop's tests retrain with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bankmlops.automl.export import convert, merge
from bankmlops.automl.lightgbm_library import load_lightgbm
from bankmlops.features import encode_labels, fit, matrix_from_columns


def train_quickly(columns: Any, folder: Path) -> Path:
    """A bundle of one small model, as an AutoML run would leave it."""
    specification = fit(columns, "y")
    model = load_lightgbm().LGBMClassifier(n_estimators=20, num_leaves=8, verbosity=-1, random_state=0, n_jobs=1)
    model.fit(matrix_from_columns(specification, columns), encode_labels(specification, columns["y"]))
    folder.mkdir(parents=True, exist_ok=True)
    graph = merge([convert(model, "LightGBM", specification.width)], [1.0], specification.width, 2)
    (folder / "model.onnx").write_bytes(graph)
    (folder / "features.json").write_text(specification.to_json())
    return folder
