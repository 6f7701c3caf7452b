"""A bundle is loaded as it was exported, or refused in one line that names the file at fault."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bankmlops.errors import InvalidRequestError
from bankmlops.scoring.bundle import load_bundle
from bankmlops.scoring.model import Scorer
from support.bundles import OLD, YOUNG, write_bundle


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a good bundle."""
    folder = write_bundle(tmp_path_factory.mktemp("exported") / "bundle")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _write(folder: Path, files: dict[str, bytes], *, sign: bool = False, **manifest: object) -> Path:
    """A bundle of these files; signed, its hashes are made to fit, as somebody who swaps files would."""
    folder.mkdir(exist_ok=True)
    document = json.loads(files["model.json"]) | manifest
    if sign:
        document["sha256"] = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    for name, content in (files | {"model.json": json.dumps(document).encode()}).items():
        (folder / name).write_bytes(content)
    return folder


def _open(folder: Path) -> Scorer:
    return Scorer(load_bundle(folder), 10)


def test_good_bundle(tmp_path: Path, exported: dict[str, bytes]) -> None:
    """A bundle as exported answers, with the threshold applied."""
    body = json.dumps({"data": [YOUNG, OLD]}).encode()
    assert _open(_write(tmp_path / "a", exported)).score(body).result == ["no", "yes"]
    assert _open(_write(tmp_path / "b", exported, threshold=1.0)).score(body).result == ["no", "no"]
    assert _open(_write(tmp_path / "c", exported, threshold=0.0)).score_batch(body).result == ["yes", "yes"]


@pytest.mark.parametrize("name", ["model.json", "features.json", "model.onnx", "background.json"])
def test_missing_file(tmp_path: Path, exported: dict[str, bytes], name: str) -> None:
    """A file that is not there is named."""
    folder = _write(tmp_path / "bundle", exported)
    (folder / name).unlink()
    with pytest.raises(InvalidRequestError, match=f"{name} can't be read: No such file"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["features.json", "model.onnx", "background.json"])
@pytest.mark.parametrize("change", [lambda content: content[:-1], lambda content: content + b" ", lambda content: content[:0]])
def test_changed_file(tmp_path: Path, exported: dict[str, bytes], name: str, change: Callable[[bytes], bytes]) -> None:
    """A file that is truncated, longer or empty is not the one that was exported."""
    folder = _write(tmp_path / "bundle", exported)
    (folder / name).write_bytes(change(exported[name]))
    with pytest.raises(InvalidRequestError, match=f"{name} is not the file that model.json names"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ({"format": 2}, "format 1"),
        ({"sha256": None}, "sha256 of its files"),
        ({"sha256": {}}, "sha256 differs"),
        ({"classes": ["no", "maybe"]}, "classes are not those"),
        ({"classes": 7}, "of the wrong kind"),
        ({"threshold": "high"}, "of the wrong kind"),
        ({"threshold": None}, "of the wrong kind"),
        ({"threshold": 1.5}, "no probability"),
        ({"threshold": float("nan")}, "no probability"),
        ({"input_example": [1]}, "of the wrong kind"),
        ({"input_example": {"age": 1}}, "input_example can't be scored: row 0, column 'job': missing"),
    ],
)
def test_bad_manifest(tmp_path: Path, exported: dict[str, bytes], manifest: dict[str, object], message: str) -> None:
    """A manifest that does not fit its files is refused with what is wrong."""
    with pytest.raises(InvalidRequestError, match=message):
        _open(_write(tmp_path / "bundle", exported, **manifest))


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff", b"[" * 100_000, b"{" * 100, b"9" * 10_000, b'{"format": 1}'])
@pytest.mark.parametrize("name", ["model.json", "features.json", "background.json"])
def test_no_document(tmp_path: Path, exported: dict[str, bytes], name: str, content: bytes) -> None:
    """A document that is none is refused in one line, though its hash fits."""
    folder = _write(tmp_path / "bundle", exported | ({name: content} if name != "model.json" else {}), sign=True)
    if name == "model.json":
        (folder / name).write_bytes(content)
    with pytest.raises(InvalidRequestError, match=name.replace(".", r"\.")) as caught:
        _open(folder)
    assert len(str(caught.value).splitlines()) == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_spoilt_features(tmp_path: Path, exported: dict[str, bytes], data: st.DataObject) -> None:
    """Whatever one value of features.json is replaced by, the bundle is refused in one line or answers its own example."""
    document = json.loads(exported["features.json"])
    place: Any = document
    while isinstance(place, dict | list) and place:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            place[key] = data.draw(st.none() | st.integers() | st.text(max_size=5) | st.just([]) | st.just({}) | st.just([1, {}]))
            break
        place = place[key]
    _refuses_or_answers(_write(tmp_path / "bundle", exported | {"features.json": json.dumps(document).encode()}, sign=True))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0), st.integers(0, 255))
def test_spoilt_graph(tmp_path: Path, exported: dict[str, bytes], position: int, byte: int) -> None:
    """Whatever byte of the graph is changed, the bundle is refused in one line or answers its own example."""
    content = bytearray(exported["model.onnx"])
    content[position % len(content)] = byte
    _refuses_or_answers(_write(tmp_path / "bundle", exported | {"model.onnx": bytes(content)}, sign=True))


def _refuses_or_answers(folder: Path) -> None:
    try:
        scorer = _open(folder)
    except InvalidRequestError as error:
        _assert_one_line(error)
        return
    scorer.score(json.dumps({"data": [dict(scorer.bundle.input_example)]}).encode())


def _assert_one_line(error: Exception) -> None:
    assert len(str(error).splitlines()) == 1


def test_background_of_another_model(tmp_path: Path, exported: dict[str, bytes]) -> None:
    """A background that does not fit the features is refused, though its hash fits."""
    other = b'{"rows": [[1.0, 2.0]]}'
    with pytest.raises(InvalidRequestError, match=r"background\.json can't be used: its shape is \[1, 2\]"):
        load_bundle(_write(tmp_path / "bundle", exported | {"background.json": other}, sign=True))


def test_no_background(tmp_path: Path, exported: dict[str, bytes]) -> None:
    """A bundle of a version that wrote none is taken as it is."""
    older = {name: content for name, content in exported.items() if name != "background.json"}
    assert load_bundle(_write(tmp_path / "bundle", older, sign=True)).background is None


def test_other_graph(tmp_path: Path, exported: dict[str, bytes]) -> None:
    """A graph for other features, or without probabilities, is refused."""
    wider = onnx.load_from_string(exported["model.onnx"])
    wider.graph.input[0].type.tensor_type.shape.dim[1].dim_value += 1
    with pytest.raises(InvalidRequestError, match=r"model\.onnx"):
        _open(_write(tmp_path / "wider", exported | {"model.onnx": wider.SerializeToString()}, sign=True))
    renamed = onnx.load_from_string(exported["model.onnx"].replace(b"probabilities", b"probabilityes"))
    with pytest.raises(InvalidRequestError, match="no output named probabilities"):
        _open(_write(tmp_path / "renamed", exported | {"model.onnx": renamed.SerializeToString()}, sign=True))


def test_weights_elsewhere(tmp_path: Path, exported: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph whose weights are in a file of their own, which no hash covers, is refused."""
    graph = onnx.load_from_string(exported["model.onnx"])
    (weights,) = [tensor for tensor in graph.graph.initializer if tensor.name == "weights"]
    (tmp_path / "weights.bin").write_bytes(onnx.numpy_helper.to_array(weights).astype(numpy.float32).tobytes())
    onnx.external_data_helper.set_external_data(weights, location="weights.bin")
    weights.ClearField("raw_data")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidRequestError, match=r"model\.onnx"):
        _open(_write(tmp_path / "bundle", exported | {"model.onnx": graph.SerializeToString()}, sign=True))
