"""What an endpoint's folder shows a container: copies that anyone can read, below a folder that its owner alone can open."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from bankmlops.local.serving import container_runtime
from bankmlops.local.serving.container_engine import ContainerEngine
from bankmlops.local.serving.container_files import RuntimeRecord, open_to_container, read_record, show_settings, write_record
from bankmlops.local.serving.container_runtime import container_name
from bankmlops.local.serving.endpoint_files import EndpointFiles, EndpointSettings
from bankmlops.types import DeploymentConfig, EndpointKeys, Runtime
from support.bundles import PRIMARY, SECONDARY, write_bundle

SETTINGS = EndpointSettings("bank-endpoint", "bank", "1", auth_enabled=True, app_insights=False)
RECORD = RuntimeRecord(Runtime.CONTAINER, "it is there", "docker", "bankmlops-bank-endpoint-1", 8080)


@pytest.fixture
def files(tmp_path: Path) -> EndpointFiles:
    """The folder of an endpoint with a model and keys."""
    folder = tmp_path / "endpoints" / "bank-endpoint"
    folder.mkdir(parents=True, mode=0o700)
    files = EndpointFiles(folder)
    files.add_model(write_bundle(tmp_path / "bundle"), "1")
    files.write(SETTINGS, EndpointKeys(PRIMARY, SECONDARY))
    return files


def test_record_is_kept(files: EndpointFiles) -> None:
    """A record is read as it was written; a folder without one, or with a damaged one, has a process."""
    assert read_record(files.folder) == RuntimeRecord()
    write_record(files.folder, RECORD)
    assert read_record(files.folder) == RECORD
    for text in ("", "[]", "{}", '{"runtime": "oracle"}', '{"runtime": "process", "colour": 1}'):
        (files.folder / "runtime.json").write_text(text)
        assert read_record(files.folder) == RuntimeRecord()


def test_nothing_for_a_process(files: EndpointFiles) -> None:
    """A process's folder has no copies."""
    show_settings(files.folder)
    assert not (files.folder / "service").exists()


def test_settings_are_shown(files: EndpointFiles) -> None:
    """A container sees each new state of the settings, in a file that anyone can read, with digests and without the keys."""
    open_to_container(files.folder)
    shown = files.folder / "service" / "service.json"
    first = shown.stat()
    assert (first.st_mode & 0o777, shown.parent.stat().st_mode & 0o777) == (0o644, 0o755)
    assert [path.name for path in shown.parent.iterdir()] == ["service.json"]
    files.write(SETTINGS.with_model("bank", "2", "2"), EndpointKeys(PRIMARY, SECONDARY))
    assert json.loads(shown.read_text())["model_version"] == "2"
    assert shown.stat().st_ino != first.st_ino
    assert PRIMARY not in shown.read_text()
    assert "primary_key_sha256" in json.loads(shown.read_text())


def test_models_are_readable(files: EndpointFiles, tmp_path: Path) -> None:
    """Models can be read by anyone who gets to them, also one that is added later; the endpoint's folder is closed to others."""
    open_to_container(files.folder)
    added = files.models / files.add_model(tmp_path / "bundle", "2")
    (added / "model.onnx").chmod(0o600)
    files.write(SETTINGS, EndpointKeys(PRIMARY, SECONDARY))
    assert {path.stat().st_mode & 0o777 for path in files.models.rglob("*") if path.is_file()} == {0o644}
    assert files.folder.stat().st_mode & 0o777 == 0o700
    assert (files.folder / "state").stat().st_mode & 0o777 == 0o777


def test_names(tmp_path: Path) -> None:
    """A container's name is the same each time, and another for each endpoint and workspace."""
    one, other = tmp_path / "one" / "bank", tmp_path / "other" / "bank"
    assert container_name(one) == container_name(one)
    assert len({container_name(one), container_name(other), container_name(one.with_name("loan"))}) == 3


@pytest.mark.parametrize(("engine", "expected"), [("docker", []), ("podman", ["--userns", "keep-id"])])
def test_run_as_its_owner(files: EndpointFiles, monkeypatch: pytest.MonkeyPatch, engine: str, expected: list[str]) -> None:
    """Deployed by anybody but root it runs as that person; podman is told to keep the numbers."""
    monkeypatch.setattr(container_runtime.os, "getuid", lambda: 1234)
    monkeypatch.setattr(container_runtime.os, "getgid", lambda: 567)
    words = _words(files, engine)
    assert words[words.index("--user") + 1] == "1234:567"
    assert [word for word in words if word in ("--userns", "keep-id")] == expected


def test_mounts(files: EndpointFiles, tmp_path: Path) -> None:
    """A folder's name may hold what separates an engine's options."""
    moved = files.folder.rename(tmp_path / "a,b:c d")
    mounts = [word for word in _words(EndpointFiles(moved), "docker") if word.lstrip('"').startswith("type=bind")]
    fields = [next(csv.reader([mount])) for mount in mounts]
    assert [f"source={moved / name}" for name in ("service", "models", "state")] == [each[1] for each in fields]
    assert [each[3:] for each in fields] == [["readonly"], ["readonly"], []]


def _words(files: EndpointFiles, engine: str) -> list[str]:
    config = DeploymentConfig("bank-endpoint", cpu_cores=0.5, memory_gb=2)
    return list(container_runtime._run_words(ContainerEngine(engine), files.folder, RECORD, config))
