"""The folder that an endpoint is exported into: whole, without a key, and with manifests that Kubernetes would take."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from bankmlops.backend import Backend
from bankmlops.container.export import export_endpoint
from bankmlops.container.exported_texts import PLACEHOLDER
from bankmlops.container.image_files import image_name
from bankmlops.errors import ConflictError, InvalidRequestError, NotFoundError
from bankmlops.scoring import supervisor
from bankmlops.scoring.limits import Limits
from bankmlops.scoring.service import read_service
from bankmlops.types import Endpoint, EndpointKeys, EndpointState, Model, UnknownCategories
from support.bundles import PRIMARY, SECONDARY, write_bundle

ENDPOINT = Endpoint("bank-endpoint", EndpointState.HEALTHY, "", "", "process", "bank", "3", app_insights=True)
KEYS = EndpointKeys(PRIMARY, SECONDARY)


@dataclass
class Served:
    """What an export asks of a backend: one endpoint, whose model's bundle is in `folder`."""

    folder: Path
    endpoint: Endpoint = ENDPOINT
    where: str = "outputs/bundle"

    def get_endpoint(self, name: str) -> Endpoint:
        if name != self.endpoint.name:
            raise NotFoundError(f"there is no endpoint {name!r}")
        return self.endpoint

    def get_model(self, name: str, version: str | None) -> Model:
        return Model(name, version or "", "AutoML_1")

    def get_keys(self, name: str) -> EndpointKeys:
        if not self.endpoint.auth_enabled:
            raise ConflictError("no keys")
        return KEYS

    def list_artifacts(self, run_id: str) -> tuple[str, ...]:
        return ("logs/training.log", *(f"{self.where}/{path.name}" for path in self.folder.iterdir()))

    def download_artifact(self, run_id: str, path: str, to: Path) -> Path:
        to.mkdir(exist_ok=True)
        content = (self.folder / Path(path).name).read_bytes()
        (to / Path(path).name).write_bytes(content)
        return to / Path(path).name


def _export(served: Served, folder: Path, name: str = "bank-endpoint") -> Path:
    backend: Any = served
    assert not isinstance(backend, Backend)
    return export_endpoint(backend, name, folder)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return Served(write_bundle(tmp_path_factory.mktemp("bundle") / "bundle"))


@pytest.fixture(scope="module")
def exported(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _export(served, tmp_path_factory.mktemp("exported") / "bank")


def test_whole(exported: Path, served: Served) -> None:
    """It has the image's files, the model as it was registered, settings, manifests and a README, and nothing that trains."""
    assert sorted(path.name for path in exported.iterdir()) == sorted(
        [".dockerignore", "Dockerfile", "README.md", "kubernetes", "model", "requirements", "service", "src"]
    )
    for path in served.folder.iterdir():
        assert (exported / "model" / path.name).read_bytes() == path.read_bytes()
    assert sorted(path.name for path in (exported / "src" / "bankmlops").iterdir()) == sorted(
        ["__init__.py", "errors.py", "features", "scoring", "types"]
    )
    assert (exported / "Dockerfile").read_text().rstrip().endswith("COPY model /model")
    assert "--hash=sha256:" in (exported / "requirements" / "scoring.txt").read_text()


def test_readable_for_any_user(exported: Path) -> None:
    """Whoever the container runs as can read what is mounted and copied."""
    assert {path.stat().st_mode & 0o777 for path in exported.rglob("*") if path.is_file()} == {0o644}
    assert {path.stat().st_mode & 0o777 for path in exported.rglob("*") if path.is_dir()} == {0o755}


def test_starts(exported: Path) -> None:
    """The exported sources alone import, and ask for what they serve."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "bankmlops.scoring", "--help"],
        env={**os.environ, "PYTHONPATH": str(exported / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "--model-dir" in done.stdout


def test_no_key(exported: Path) -> None:
    """No file holds a key; the settings hold digests that let both in."""
    content = b"".join(path.read_bytes() for path in exported.rglob("*") if path.is_file())
    assert PRIMARY.encode() not in content
    assert SECONDARY.encode() not in content
    service = read_service(exported / "service" / "service.json")
    assert service.authenticate(f"Bearer {SECONDARY}".encode()) == "Secondary"
    assert (service.model, service.app_insights) == ("bank:3", True)
    assert "service" in (exported / ".dockerignore").read_text().splitlines()


# What Kubernetes 1.x knows of each object in the manifests (API versions apps/v1 and v1): it refuses, or forgets, anything else.
_METADATA = {"name": str, "labels": {"*": str}}
_PROBE = {"httpGet": {"path": str, "port": str}, "periodSeconds": int, "timeoutSeconds": int, "failureThreshold": int}
_CONTAINER = {
    "name": str, "image": str, "imagePullPolicy": str, "ports": [{"name": str, "containerPort": int}],
    "startupProbe": _PROBE, "readinessProbe": _PROBE, "livenessProbe": _PROBE,
    "lifecycle": {"preStop": {"exec": {"command": [str]}}},
    "resources": {"requests": {"*": str}, "limits": {"*": str}},
    "securityContext": {"allowPrivilegeEscalation": bool, "readOnlyRootFilesystem": bool, "capabilities": {"drop": [str]}},
    "volumeMounts": [{"name": str, "mountPath": str, "readOnly": bool}],
}  # fmt: skip
_VOLUME = {
    "name": str, "secret": {"secretName": str, "defaultMode": int}, "emptyDir": {"medium": str, "sizeLimit": str},
}  # fmt: skip
_POD = {
    "automountServiceAccountToken": bool, "enableServiceLinks": bool, "terminationGracePeriodSeconds": int,
    "securityContext": {
        "runAsNonRoot": bool, "runAsUser": int, "runAsGroup": int, "fsGroup": int, "seccompProfile": {"type": str},
    },
    "containers": [_CONTAINER], "volumes": [_VOLUME],
}  # fmt: skip
_HEAD = {"apiVersion": str, "kind": str, "metadata": _METADATA}
_SELECTOR = {"matchLabels": {"*": str}}
SCHEMAS = {
    "deployment": _HEAD | {"spec": {"replicas": int, "selector": _SELECTOR, "template": {"metadata": _METADATA, "spec": _POD}}},
    "service": _HEAD
    | {"spec": {"type": str, "selector": {"*": str}, "ports": [{"name": str, "port": int, "targetPort": str, "protocol": str}]}},
    "secret-template": _HEAD | {"type": str, "stringData": {"*": str}},
}


def _check(value: object, schema: Any, where: str) -> None:
    """That the value has no field which the schema doesn't know, and none of another type."""
    if isinstance(schema, type):
        assert type(value) is schema, where
    elif isinstance(schema, list):
        assert isinstance(value, list), where
        for place, each in enumerate(value):
            _check(each, schema[0], f"{where}[{place}]")
    else:
        assert isinstance(value, dict), where
        for name, each in value.items():
            assert name in schema or "*" in schema, f"{where}.{name}"
            _check(each, schema.get(name, schema.get("*")), f"{where}.{name}")


@pytest.mark.parametrize("name", SCHEMAS)
def test_fields_that_kubernetes_knows(exported: Path, name: str) -> None:
    """Every field is one that the API knows, of the type that it wants, and names are such as it takes."""
    manifest = _manifest(exported, name)
    _check(manifest, SCHEMAS[name], name)
    assert re.fullmatch("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", manifest["metadata"]["name"])


def test_settings_go_along(served: Served, tmp_path: Path) -> None:
    """Workers, origins, the answers' form, what becomes of unknown categories, and the collector are as the endpoint has them."""
    endpoint = replace(
        ENDPOINT,
        workers=3,
        cors_origins=("https://a.example",),
        plain_json=True,
        unknown_categories=UnknownCategories.REFUSE,
        collect_model_data=True,
    )
    folder = _export(replace(served, endpoint=endpoint), tmp_path / "set")
    service = read_service(folder / "service" / "service.json")
    assert (service.workers, service.cors_origins, service.plain_json) == (3, ("https://a.example",), True)
    assert (service.unknown_categories, service.collect_model_data) == (UnknownCategories.REFUSE, True)


def test_manifests(exported: Path) -> None:
    """The manifests parse, and name each other: the Service's port and labels, the Secret, the container's mounts."""
    deployment, service, secret = (_manifest(exported, name) for name in ("deployment", "service", "secret-template"))
    assert [each["kind"] for each in (deployment, service, secret)] == ["Deployment", "Service", "Secret"]
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert deployment["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert service["spec"]["ports"][0]["targetPort"] in [port["name"] for port in container["ports"]]
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/service", "/state", "/tmp"}
    assert volumes["service"]["secret"]["secretName"] == secret["metadata"]["name"]
    assert container["image"] == "bank-endpoint:3"


def test_manifests_are_restricted(exported: Path) -> None:
    """The pod is no root, gains nothing, writes to no root, is bounded, and is probed."""
    pod = _manifest(exported, "deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]["limits"]) == {"cpu", "memory"}
    probes = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert probes == {"startupProbe": "/health/ready", "readinessProbe": "/health/ready", "livenessProbe": "/health/live"}


def test_rollouts_drop_nothing(exported: Path) -> None:
    """A pod serves on while the cluster still sends callers to it, and has the time that it takes to finish after that."""
    pod = _manifest(exported, "deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    interpreter, option, program = container["lifecycle"]["preStop"]["exec"]["command"]
    assert f'["{interpreter}", ' in (exported / "Dockerfile").read_text()
    assert (option, program) == ("-c", "import time; time.sleep(5)")
    limits = Limits()
    finishing = limits.linger_seconds + limits.drain_seconds + supervisor._FORCE_SECONDS
    assert 5 + finishing < pod["terminationGracePeriodSeconds"]


def test_secret_is_a_template(exported: Path, tmp_path: Path) -> None:
    """The Secret's settings are refused as they stand, and serve once the digests are in."""
    text = _manifest(exported, "secret-template")["stringData"]["service.json"]
    file = tmp_path / "service.json"
    file.write_text(text)
    with pytest.raises(InvalidRequestError, match="primary_key"):
        read_service(file)
    file.write_text(text.replace(PLACEHOLDER, hashlib.sha256(PRIMARY.encode()).hexdigest()))
    assert read_service(file).authenticate(f"Bearer {PRIMARY}".encode()) == "Primary"


def test_without_keys(served: Served, tmp_path: Path) -> None:
    """An endpoint without authentication is exported without digests, and its README says so."""
    folder = _export(replace(served, endpoint=replace(ENDPOINT, auth_enabled=False)), tmp_path / "open")
    assert "sha256" not in json.loads((folder / "service" / "service.json").read_text())
    assert "answers everyone" in (folder / "README.md").read_text()
    assert PLACEHOLDER not in (folder / "kubernetes" / "secret-template.yaml").read_text()


def test_same_image_as_deployed(exported: Path) -> None:
    """The tag of the image changes with the files that it is built from, and with them alone."""
    assert image_name() == image_name()
    assert image_name().startswith("bankmlops-scoring:")


@pytest.mark.parametrize("made", ["file", "filled"])
def test_filled_folder(served: Served, tmp_path: Path, made: str) -> None:
    """A folder that holds something, or is a file, is refused and left as it is."""
    target = tmp_path / "there"
    if made == "file":
        target.write_text("mine")
    else:
        target.mkdir()
        (target / "mine").write_text("mine")
    with pytest.raises(ConflictError, match="holds something"):
        _export(served, target)
    assert (target if made == "file" else target / "mine").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_empty_folder(served: Served, tmp_path: Path) -> None:
    """An empty folder is filled."""
    (tmp_path / "bank").mkdir()
    assert (_export(served, tmp_path / "bank") / "Dockerfile").exists()


@pytest.mark.parametrize(
    ("name", "where", "message"), [("nobody", "outputs/bundle", "nobody"), ("bank-endpoint", "outputs", "no exported bundle")]
)
def test_nothing_to_export(served: Served, tmp_path: Path, name: str, where: str, message: str) -> None:
    """An endpoint that is not there, or whose model has no bundle, is one line, and leaves nothing."""
    with pytest.raises(NotFoundError, match=message):
        _export(replace(served, where=where), tmp_path / "out", name)
    assert list(tmp_path.iterdir()) == []


def _manifest(folder: Path, name: str) -> dict[str, Any]:
    document = yaml.safe_load((folder / "kubernetes" / f"{name}.yaml").read_text())
    assert isinstance(document, dict)
    return document
