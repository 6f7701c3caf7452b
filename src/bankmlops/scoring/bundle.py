"""A model's folder, verified before it is used: what was trained, and nothing else, is what answers.

`model.json` names the sha256 of the other files; the very bytes that were hashed are loaded, and no pickle is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
import onnxruntime

from bankmlops.errors import InvalidRequestError
from bankmlops.features import FeatureSpecification
from bankmlops.features.background import background_from_json

FORMAT = 1
_MAX_BYTES = {"model.json": 2**20, "features.json": 16 * 2**20, "background.json": 64 * 2**20, "model.onnx": 2**30}


@dataclass(frozen=True, slots=True)
class Bundle:
    """A loaded bundle. `model` is the ONNX graph's bytes; `threshold` is for binary models, on the second class's probability.

    `background` float32 [rows, width] is what explanations start from; None in a bundle of a version that wrote none.
    """

    algorithm: str
    classes: tuple[str, ...]
    threshold: float
    label_column: str
    input_example: Mapping[str, object]
    specification: FeatureSpecification
    model: bytes
    background: numpy.ndarray[Any, Any] | None = field(default=None, compare=False)


def load_bundle(folder: Path) -> Bundle:
    """Read and verify a bundle. Raises `InvalidRequestError` with one line that names the file at fault."""
    manifest = _read_manifest(folder / "model.json")
    features = _read_verified(folder / "features.json", manifest)
    model = _read_verified(folder / "model.onnx", manifest)
    specification = _read_specification(folder / "features.json", features)
    try:
        bundle = Bundle(
            algorithm=str(manifest["algorithm"]),
            classes=tuple(str(name) for name in manifest["classes"]),
            threshold=float(manifest["threshold"]),
            label_column=str(manifest["label_column"]),
            input_example=dict(manifest["input_example"]),
            specification=specification,
            model=model,
            background=_read_background(folder / "background.json", manifest, specification.width),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidRequestError(f"{folder / 'model.json'}: {error!r} is missing or of the wrong kind") from error
    if not 0 <= bundle.threshold <= 1:
        raise InvalidRequestError(f"{folder / 'model.json'}: threshold {bundle.threshold} is no probability")
    if bundle.classes != tuple(specification.classes) or len(bundle.classes) < 2:
        raise InvalidRequestError(f"{folder / 'model.json'}: its classes are not those of features.json")
    return bundle


def open_session(bundle: Bundle, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session on the bundle's graph. Raises `InvalidRequestError` where the graph is no model for these features."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(bundle.model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises classes of its own with no common base but Exception
        raise InvalidRequestError(f"model.onnx can't be loaded: {_first_line(error)}") from error
    _check_graph(session, bundle)
    return session


def _check_graph(session: onnxruntime.InferenceSession, bundle: Bundle) -> None:
    inputs = [(node.name, node.type, node.shape[1:]) for node in session.get_inputs()]
    wanted = ("features", "tensor(float)", [bundle.specification.width])
    if inputs != [wanted]:
        raise InvalidRequestError(f"model.onnx: its inputs are {inputs}, and features.json makes {wanted}")
    if "probabilities" not in [node.name for node in session.get_outputs()]:
        raise InvalidRequestError("model.onnx: it has no output named probabilities")


def _read_specification(path: Path, content: bytes) -> FeatureSpecification:
    try:
        return FeatureSpecification.from_json(content.decode())
    except (InvalidRequestError, ValueError, AttributeError, RecursionError) as error:
        raise InvalidRequestError(f"{path} can't be used: {_first_line(error)}") from error


def _read_background(path: Path, manifest: Mapping[str, Any], width: int) -> numpy.ndarray[Any, Any] | None:
    if path.name not in manifest["sha256"]:
        return None
    content = _read_verified(path, manifest)
    try:
        return background_from_json(content.decode(), width)
    except (InvalidRequestError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"{path} can't be used: {_first_line(error)}") from error


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(_read_bounded(path))
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"{path} is not JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InvalidRequestError(f"{path} is not a bundle of format {FORMAT}: export the model again with this version")
    if not isinstance(manifest.get("sha256"), dict):
        raise InvalidRequestError(f"{path} does not name the sha256 of its files: export the model again")
    return manifest


def _read_verified(path: Path, manifest: Mapping[str, Any]) -> bytes:
    content = _read_bounded(path)
    if hashlib.sha256(content).hexdigest() != manifest["sha256"].get(path.name):
        raise InvalidRequestError(f"{path} is not the file that model.json names (sha256 differs): export the model again")
    return content


def _read_bounded(path: Path) -> bytes:
    limit = _MAX_BYTES[path.name]
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise InvalidRequestError(f"{path} can't be read: {error.strerror}") from error
    if len(content) > limit:
        raise InvalidRequestError(f"{path} is larger than {limit:,} bytes")
    return content


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
