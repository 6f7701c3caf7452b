"""The scoring image, built and run by a real engine: small, unprivileged, read-only, and in need of no network."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import httpx
import pytest

from support.bundles import OLD, PRIMARY, YOUNG, write_bundle, write_service
from support.engine import Engine

pytestmark = pytest.mark.system
LIMITS = ["--memory=512m", "--cpus=1", "--pids-limit=100", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
MAXIMUM_BYTES = 300_000_000
SCORE = (
    "import json, urllib.request as u; r = u.Request('http://{host}:8080/score', json.dumps({{'data': [{row}]}}).encode(),"
    " {{'Authorization': 'Bearer {key}', 'Content-Type': 'application/json'}}); print(u.urlopen(r, timeout=10).read().decode())"
)


@pytest.fixture(scope="module")
def mounts(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The options that show a container the tests' bundle and its settings, both read-only."""
    folder = tmp_path_factory.mktemp("service")
    write_bundle(folder / "model")
    (folder / "service").mkdir()
    write_service(folder / "service")
    for path in (folder, *folder.rglob("*")):  # the container's user is none of this machine's
        path.chmod(0o755 if path.is_dir() else 0o644)
    return [f"--volume={folder / 'service'}:/service:ro", f"--volume={folder / 'model'}:/model:ro"]


@pytest.fixture(scope="module")
def container(engine: Engine, image: str, mounts: list[str]) -> Iterator[str]:
    """A healthy container that serves the tests' bundle."""
    name = engine("run", "--detach", "--publish=127.0.0.1::8080", *LIMITS, *mounts, image)
    try:
        engine.wait_until_healthy(name)
        yield name
    finally:
        engine("rm", "--force", name)


def test_answers(engine: Engine, container: str) -> None:
    """It scores with its key, and not without."""
    url = f"http://{engine('port', container, '8080').splitlines()[0]}"
    for key, status in ((PRIMARY, 200), ("wrong", 403)):
        headers = {"Authorization": f"Bearer {key}"}
        response = httpx.post(f"{url}/score", json={"data": [YOUNG, OLD]}, headers=headers, trust_env=False)
        assert response.status_code == status
    assert httpx.get(f"{url}/docs/swagger-ui-bundle.js", trust_env=False).status_code == 200


def test_unprivileged(engine: Engine, container: str) -> None:
    """It runs as a user of its own, on the Python that it was built with, and no key is in its settings."""
    assert "10001" in engine("exec", container, "id")
    assert engine("exec", container, "/opt/bankmlops/bin/python", "-c", "import sys; print(sys.version_info[:2])") == "(3, 11)"
    assert PRIMARY not in engine("inspect", container)


def test_small(engine: Engine, image: str) -> None:
    """It holds nothing that trains or installs, and is small."""
    assert int(engine("image", "inspect", "--format={{.Size}}", image)) < MAXIMUM_BYTES
    program = "import importlib.util as u, json; print(json.dumps([n for n in {} if u.find_spec(n)]))"
    names = ["sklearn", "pandas", "mlflow", "flaml", "lightgbm", "pip", "setuptools", "bankmlops.local", "bankmlops.automl"]
    found = engine("run", "--rm", "--network=none", "--entrypoint=/opt/bankmlops/bin/python", image, "-c", program.format(names))
    assert json.loads(found) == []


def test_needs_no_network(engine: Engine, image: str, mounts: list[str]) -> None:
    """Where there is no network at all it becomes healthy, and scores for who is inside."""
    name = engine("run", "--detach", "--network=none", *LIMITS, *mounts, image)
    try:
        engine.wait_until_healthy(name)
        assert "yes" in engine("exec", name, "/opt/bankmlops/bin/python", "-c", _scoring("127.0.0.1"))
    finally:
        engine("rm", "--force", name)


def test_serves_an_internal_network(engine: Engine, image: str, mounts: list[str]) -> None:
    """On a network without a way out it scores for its neighbours."""
    network = f"bankmlops-test-{time.monotonic_ns()}"
    engine("network", "create", "--internal", network)
    try:
        name = engine("run", "--detach", f"--network={network}", "--network-alias=scoring", *LIMITS, *mounts, image)
        try:
            engine.wait_until_healthy(name)
            python = ("--rm", f"--network={network}", "--entrypoint=/opt/bankmlops/bin/python")
            assert "yes" in engine("run", *python, image, "-c", _scoring("scoring"))
        finally:
            engine("rm", "--force", name)
    finally:
        engine("network", "rm", network)


def test_orderly_end(engine: Engine, image: str, mounts: list[str]) -> None:
    """Told to stop, it ends in order before its grace is over."""
    name = engine("run", "--detach", *LIMITS, *mounts, image)
    try:
        engine.wait_until_healthy(name)
        began = time.monotonic()
        engine("stop", "--time=20", name)
        assert time.monotonic() - began < 15
        state = json.loads(engine("inspect", "--format={{json .State}}", name))
        assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
        assert "stopped" in engine.log(name)
    finally:
        engine("rm", "--force", name)


def _scoring(host: str) -> str:
    return SCORE.format(host=host, row=OLD, key=PRIMARY)
