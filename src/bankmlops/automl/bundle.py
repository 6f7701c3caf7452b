"""Writes what the scoring service loads: graph, feature specification, background, and a manifest with the sha256 of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy

from bankmlops.features import FeatureSpecification
from bankmlops.features.background import background_to_json
from bankmlops.features.profile import DataProfile

Array = numpy.ndarray[Any, Any]

FORMAT = 1
THRESHOLD = 0.5


def write_bundle(
    folder: Path,
    model: bytes,
    specification: FeatureSpecification,
    algorithm: str,
    input_example: Mapping[str, object],
    background: Array,
    profile: DataProfile,
) -> None:
    """Write `model.onnx`, `features.json`, `background.json`, `profile.json` and, last, `model.json` into the folder.

    `background` float32 [rows, width] is what the service explains against, `profile` what its inputs are compared with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = {
        "model.onnx": model,
        "features.json": specification.to_json().encode(),
        "background.json": background_to_json(background).encode(),
        "profile.json": profile.to_json().encode(),
    }
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
