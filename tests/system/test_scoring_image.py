"""The scoring image, built and run by a real engine: small, unprivileged, read-only, and answering as the process does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from support.bundles import OLD, PRIMARY, YOUNG, write_bundle, write_service

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]
BASE, IMAGE = "bankmlops-test-base:3.11", "bankmlops-test-scoring:latest"
LIMITS = ["--memory=512m", "--cpus=1", "--pids-limit=100", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
MAXIMUM_BYTES = 300_000_000


@dataclass
class Engine:
    """A container engine that answers."""

    environment: dict[str, str]

    def __call__(self, *words: str) -> str:
        done = subprocess.run(["docker", *words], env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def script(self, name: str, *words: str) -> None:
        done = subprocess.run([ROOT / "docker" / name, *words], env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The engine that runs, or one that is started for these tests and ended with them."""
    folder = tmp_path_factory.mktemp("engine")
    done = subprocess.run([ROOT / "docker" / "engine-up", folder], capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    yield Engine({**os.environ, "DOCKER_HOST": done.stdout.strip(), "PYTHON": sys.executable})
    pid_file = folder / "dockerd.pid"
    if pid_file.exists():
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
        _wait(lambda: not pid_file.exists())


@pytest.fixture(scope="module")
def image(engine: Engine) -> Iterator[str]:
    """The image, on a base made of this machine's Python."""
    engine.script("python-base", BASE)
    engine.script("build-image", IMAGE, BASE)
    yield IMAGE
    engine("rmi", "--force", IMAGE, BASE)


@pytest.fixture(scope="module")
def container(engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A healthy container that serves the tests' bundle from a read-only folder."""
    folder = tmp_path_factory.mktemp("service")
    write_bundle(folder / "model")
    write_service(folder)
    for path in (folder, *folder.rglob("*")):  # the container's user is none of this machine's
        path.chmod(0o755 if path.is_dir() else 0o644)
    for parent in folder.parents[:2]:
        parent.chmod(0o755)
    name = engine("run", "--detach", "--publish=127.0.0.1::8080", *LIMITS, f"--volume={folder}:/service:ro", image)
    try:
        _wait(lambda: engine("inspect", "--format={{.State.Health.Status}}", name) == "healthy")
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


def test_needs_no_network(engine: Engine, image: str, container: str) -> None:
    """It becomes healthy where there is no network at all."""
    (folder,) = json.loads(engine("inspect", "--format={{json .HostConfig.Binds}}", container))
    name = engine("run", "--detach", "--network=none", *LIMITS, f"--volume={folder}", image)
    try:
        _wait(lambda: engine("inspect", "--format={{.State.Health.Status}}", name) == "healthy")
    finally:
        engine("rm", "--force", name)


def test_orderly_end(engine: Engine, container: str) -> None:
    """Told to stop, it ends in order before its grace is over."""
    began = time.monotonic()
    engine("stop", "--time=20", container)
    assert time.monotonic() - began < 15
    state = json.loads(engine("inspect", "--format={{json .State}}", container))
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)


def _wait(look: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.2)
