"""An exported endpoint, built and run by its own README, with a real engine and nothing of the project beside it."""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bankmlops.backend import Backend
from bankmlops.container.export import export_endpoint
from bankmlops.local.serving.container_image import download_wheels
from support.bundles import OLD, PRIMARY, YOUNG
from support.engine import Engine, wait_until
from unit.test_container_export import ENDPOINT, Served, write_bundle

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    backend: Backend = Served(write_bundle(folder / "bundle"))  # type: ignore[assignment]  # all that an export asks
    return export_endpoint(backend, ENDPOINT.name, folder / "bank")


@pytest.fixture(scope="module")
def running(engine: Engine, base: str, exported: Path) -> Iterator[str]:
    """The URL of the exported endpoint, run by the very commands of its README; but its base image and wheels are at hand."""
    build, run = _commands(exported)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    download_wheels(exported, 300)
    at_hand = f"BASE_IMAGE={base}", "PIP_INSTALL_ARGS=--no-index --find-links=/tmp/wheelhouse"
    options = ["--network=none", *(f"--build-arg={each}" for each in at_hand)]
    engine.script("env", "-C", exported, "DOCKER_BUILDKIT=0", *build[:-1], *options, build[-1])
    run = [word.replace("127.0.0.1:8080:8080", f"127.0.0.1:{port}:8080").replace("$PWD", str(exported)) for word in run]
    engine(*run[1:])
    try:
        engine.wait_until_healthy(ENDPOINT.name)
        yield f"http://127.0.0.1:{port}"
    finally:
        engine("rm", "--force", ENDPOINT.name)
        engine("rmi", "--force", "bank-endpoint:3")


def test_answers(running: str) -> None:
    """It scores for the keys of the endpoint that was exported, and for nobody else."""
    for key, status in ((PRIMARY, 200), ("wrong", 403)):
        headers = {"Authorization": f"Bearer {key}"}
        response = httpx.post(f"{running}/score", json={"data": [YOUNG, OLD]}, headers=headers, trust_env=False)
        assert response.status_code == status


def test_holds_its_model(engine: Engine, running: str, exported: Path) -> None:
    """The model is a part of the image, and nothing of the keys is."""
    seen = engine("exec", ENDPOINT.name, "cat", "/model/model.json")
    assert seen == (exported / "model" / "model.json").read_text().strip()
    found = engine("run", "--rm", "--network=none", "--entrypoint=find", "bank-endpoint:3", "/", "-xdev", "-name", "service.json")
    assert found == ""


def test_records(engine: Engine, running: str) -> None:
    """With app insights on it keeps its records in /state, though its root is read-only."""
    httpx.post(f"{running}/score", json={"data": [YOUNG]}, headers={"Authorization": f"Bearer {PRIMARY}"}, trust_env=False)
    wait_until(lambda: "telemetry.jsonl" in engine("exec", ENDPOINT.name, "ls", "/state"))
    assert '"path":"/score"' in engine("exec", ENDPOINT.name, "cat", "/state/telemetry.jsonl")
    assert "model=bank:3" in engine.log(ENDPOINT.name)


def _commands(folder: Path) -> list[list[str]]:
    """The two commands of the README's first block."""
    (block,) = re.findall(r"```sh\n(docker build.*?)```", (folder / "README.md").read_text(), re.DOTALL)[:1]
    return [shlex.split(line) for line in block.strip().splitlines()]
