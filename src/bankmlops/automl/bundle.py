"""Writes what the scoring service loads: the graph, the feature specification, and a manifest with the sha256 of both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from bankmlops.features import FeatureSpecification

FORMAT = 1
THRESHOLD = 0.5


def write_bundle(
    folder: Path, model: bytes, specification: FeatureSpecification, algorithm: str, input_example: Mapping[str, object]
) -> None:
    """Write `model.onnx`, `features.json` and, last, `model.json` into the folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"model.onnx": model, "features.json": specification.to_json().encode()}
    for name, content in parts.items():
        (folder / name).write_bytes(content)
    manifest = {
        "format": FORMAT,
        "algorithm": algorithm,
        "classes": list(specification.classes),
        "label_column": specification.label_column,
        "threshold": THRESHOLD,
        "input_example": dict(input_example),
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in parts.items()},
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (folder / "model.json").write_text(text, encoding="utf-8")
