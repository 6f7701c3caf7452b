"""Endpoints in containers, by a real engine: bounded, unprivileged, found again, and gone without a trace once deleted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from bankmlops.errors import BackendUnavailableError, ConflictError, DeploymentFailedError, InvalidRequestError
from bankmlops.local.serving.container_files import read_record
from bankmlops.local.serving.endpoints import Endpoints
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import DeploymentConfig, Endpoint, EndpointState, KeyName, Model, Parity, Runtime
from support.bundles import OLD, YOUNG, write_bundle
from support.engine import Engine, wait_until

pytestmark = pytest.mark.system
MODEL = Model("bank", "1", "AutoML_1", parity=Parity(0.0, 0, 10))
ROWS = {"data": [YOUNG, OLD]}
CONTAINER = DeploymentConfig(name="bank-endpoint", runtime=Runtime.CONTAINER, cpu_cores=0.5, memory_gb=0.5, workers=2)


@dataclass
class Registry:
    """A registry whose every version has the bundle in `folder`."""

    folder: Path

    def get(self, name: str, version: str | None = None) -> Model:
        return Model(name, version or "1", "AutoML_1", parity=MODEL.parity)

    def bundle(self, model: Model) -> Path:
        return self.folder


@pytest.fixture(scope="module", autouse=True)
def asked(engine: Engine, image: str) -> Iterator[None]:
    """What is deployed here asks the tests' engine."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DOCKER_HOST", "BANKMLOPS_CONTAINER_ENGINE"):
            patch.setenv(name, engine.environment[name])
        yield


@pytest.fixture(scope="module")
def endpoints(asked: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """Endpoints of a workspace whose path has all that an engine's options would trip over."""
    folder = tmp_path_factory.mktemp("a, b; c=d")
    endpoints = Endpoints(LocalWorkspace(folder / "workspace"), Registry(write_bundle(folder / "bundle")))
    yield endpoints
    for endpoint in endpoints.list():
        endpoints.delete(endpoint.name)


@pytest.fixture(scope="module")
def endpoint(endpoints: Endpoints) -> Endpoint:
    """One that is deployed, for the tests that leave it as it is."""
    return endpoints.deploy(MODEL, CONTAINER)


def test_healthy(endpoints: Endpoints, endpoint: Endpoint) -> None:
    """It is healthy on this machine's loopback, says that it is a container, and scores with its keys alone."""
    found = endpoints.get("bank-endpoint")
    assert (found.state, found.runtime, found.runtime_reason) == (EndpointState.HEALTHY, "container", "")
    assert found.scoring_uri.startswith("http://127.0.0.1:")
    assert 0 < found.cold_start_seconds < 60
    keys = endpoints.keys("bank-endpoint")
    assert [_score(found, key) for key in (keys.primary, keys.secondary, "wrong", None)] == [200, 200, 403, 401]


def test_bounded_and_unprivileged(engine: Engine, endpoints: Endpoints, endpoint: Endpoint) -> None:
    """Its root is read-only, it is nobody's root, has no capability, cannot gain any, and has the asked memory and CPU."""
    name = _container(endpoints)
    facts = json.loads(engine("inspect", name))[0]
    host = facts["HostConfig"]
    assert (host["ReadonlyRootfs"], host["CapDrop"], host["SecurityOpt"]) == (True, ["ALL"], ["no-new-privileges"])
    assert (host["Memory"], host["MemorySwap"], host["NanoCpus"]) == (2**29, 2**29, 500_000_000)
    assert 0 < host["PidsLimit"] < 1000
    assert {binding["HostIp"] for ports in host["PortBindings"].values() for binding in ports} == {"127.0.0.1"}
    writable = [mount["Destination"] for mount in facts["Mounts"] if mount["RW"]]
    assert writable == ["/state"]
    assert facts["Config"]["Labels"]["bankmlops.endpoint"] == "bank-endpoint"
    assert "uid=0" not in engine("exec", name, "id")
    status = engine("exec", name, "cat", "/proc/1/status")
    assert {"CapEff:\t0000000000000000", "NoNewPrivs:\t1"} <= set(status.splitlines())


def test_keys_stay_outside(engine: Engine, endpoints: Endpoints, endpoint: Endpoint) -> None:
    """Neither key is in what the engine tells, in the container's files or environment, or in the log."""
    keys, name = endpoints.keys("bank-endpoint"), _container(endpoints)
    seen = engine("inspect", name) + engine("exec", name, "env") + engine.log(name)
    seen += engine("exec", name, "cat", "/service/service.json")
    assert "primary_key_sha256" in seen
    assert not [key for key in (keys.primary, keys.secondary) if key in seen]
    assert engine("exec", name, "ls", "/service").split() == ["service.json"]


def test_regenerated_key(endpoints: Endpoints, endpoint: Endpoint) -> None:
    """A regenerated key counts at the next request, the old one no more, and the other goes on working."""
    before = endpoints.keys("bank-endpoint")
    after = endpoints.regenerate_key("bank-endpoint", KeyName.SECONDARY)
    assert [_score(endpoint, key) for key in (after.primary, after.secondary, before.secondary)] == [200, 200, 403]


def test_logs_and_insights(endpoints: Endpoints, endpoint: Endpoint) -> None:
    """Its log has a line for each request, and with app insights on there is a record of each, off none."""
    keys = endpoints.keys("bank-endpoint")
    telemetry = endpoints._files("bank-endpoint").folder / "state" / "telemetry.jsonl"
    assert endpoints.set_app_insights("bank-endpoint", True).app_insights
    _score(endpoint, keys.primary)
    wait_until(lambda: any("POST /score 200" in line for line in endpoints.logs("bank-endpoint")))
    wait_until(telemetry.exists)
    recorded = len(telemetry.read_text().splitlines())
    assert recorded >= 1
    assert not endpoints.set_app_insights("bank-endpoint", False).app_insights
    lines = len(endpoints.logs("bank-endpoint"))
    _score(endpoint, keys.primary)
    wait_until(lambda: len(endpoints.logs("bank-endpoint")) > lines)
    assert len(telemetry.read_text().splitlines()) == recorded
    assert "serves model bank:1" in endpoints.logs("bank-endpoint")[0]
    assert endpoints.logs("bank-endpoint")[0].endswith("with 2 workers")


def test_updated_and_rolled_back(endpoints: Endpoints, endpoint: Endpoint) -> None:
    """Another version of the model is switched to in the running container, and back."""
    updated = endpoints.update("bank-endpoint", Model("bank", "2", "AutoML_1"))
    assert (updated.model_version, updated.scoring_uri) == ("2", endpoint.scoring_uri)
    assert _score(endpoint, endpoints.keys("bank-endpoint").primary) == 200
    assert endpoints.rollback("bank-endpoint").model_version == "1"
    assert _score(endpoint, endpoints.keys("bank-endpoint").primary) == 200


def test_found_by_another_process(endpoints: Endpoints, endpoint: Endpoint) -> None:
    """Another process finds it by its name, with its state and its log."""
    program = (
        "import sys; from pathlib import Path; from bankmlops.local.serving.endpoints import Endpoints\n"
        "from bankmlops.local.workspace import LocalWorkspace\n"
        "there = Endpoints(LocalWorkspace(Path(sys.argv[1])), None); found = there.get('bank-endpoint')\n"
        "print(found.state, found.runtime, found.scoring_uri, len(there.logs('bank-endpoint')) > 0)"
    )
    arguments = [sys.executable, "-c", program, str(endpoints._workspace.folder)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["Healthy", "container", endpoint.scoring_uri, "True"]


def test_taken_port(endpoints: Endpoints, endpoint: Endpoint) -> None:
    """A port that a container has is refused to another endpoint, of which nothing is left."""
    port = int(endpoint.scoring_uri.rsplit(":", 1)[1].split("/")[0])
    with pytest.raises(ConflictError, match=str(port)):
        endpoints.deploy(MODEL, DeploymentConfig(name="other-endpoint", port=port, runtime=Runtime.CONTAINER))
    assert [found.name for found in endpoints.list()] == ["bank-endpoint"]


def test_too_many_cores(engine: Engine, endpoints: Endpoints) -> None:
    """Cores that the machine has not are refused in one line, and nothing is left."""
    with pytest.raises(InvalidRequestError, match="cpu_cores 1000") as caught:
        endpoints.deploy(MODEL, DeploymentConfig(name="big-endpoint", cpu_cores=1000, runtime=Runtime.CONTAINER))
    assert "\n" not in str(caught.value)
    assert "big-endpoint" not in engine("ps", "--all")


def test_broken_model(engine: Engine, asked: None, tmp_path: Path) -> None:
    """A model that does not start is a DeploymentFailedError with the log's last line, and leaves no container."""
    bundle = write_bundle(tmp_path / "bundle")
    (bundle / "model.onnx").write_bytes(b"not a graph")
    endpoints = Endpoints(LocalWorkspace(tmp_path / "workspace"), Registry(bundle))
    with pytest.raises(DeploymentFailedError, match=r"model\.onnx is not the file that model\.json names"):
        endpoints.deploy(MODEL, DeploymentConfig(name="broken-endpoint", runtime=Runtime.CONTAINER))
    assert endpoints.list() == ()
    assert "broken-endpoint" not in engine("ps", "--all")


def test_auto_takes_the_container(engine: Engine, endpoints: Endpoints) -> None:
    """Where an engine answers and has the image, a container is taken unasked, which it says; its deletion leaves nothing."""
    deployed = endpoints.deploy(MODEL, DeploymentConfig(name="auto-endpoint", auth_enabled=False))
    assert deployed.runtime == "container"
    assert deployed.runtime_reason.startswith("docker ")
    assert "has the scoring image" in deployed.runtime_reason
    assert _score(deployed, None) == 200
    endpoints.delete("auto-endpoint")
    endpoints.delete("auto-endpoint")
    assert "auto-endpoint" not in engine("ps", "--all")
    assert not (endpoints._workspace.folder / "endpoints" / "auto-endpoint").exists()


def test_dies_and_comes_back(engine: Engine, endpoints: Endpoints) -> None:
    """One that ends by itself comes back at its address; one that was killed is Unhealthy, one that is gone Failed."""
    endpoint = endpoints.deploy(MODEL, DeploymentConfig(name="mortal-endpoint", runtime=Runtime.CONTAINER))
    name = _container(endpoints, "mortal-endpoint")
    os.kill(int(engine("inspect", "--format={{.State.Pid}}", name)), 9)
    wait_until(lambda: engine("inspect", "--format={{.RestartCount}}", name) == "1")
    wait_until(lambda: endpoints.get("mortal-endpoint").state is EndpointState.HEALTHY)
    assert _score(endpoint, endpoints.keys("mortal-endpoint").primary) == 200
    engine("kill", name)
    assert endpoints.get("mortal-endpoint").state is EndpointState.UNHEALTHY
    assert endpoints.logs("mortal-endpoint")
    engine("rm", "--force", name)
    assert endpoints.get("mortal-endpoint").state is EndpointState.FAILED
    endpoints.delete("mortal-endpoint")


def test_engine_restarts(engine: Engine, endpoints: Endpoints, endpoint: Endpoint) -> None:
    """After a restart of the engine an endpoint is back at its address with its keys."""
    if not engine.is_ours:
        pytest.skip("the engine was not started by these tests, and others may use it")
    engine.restart()
    wait_until(lambda: endpoints.get("bank-endpoint").state is EndpointState.HEALTHY)
    assert _score(endpoint, endpoints.keys("bank-endpoint").primary) == 200


def test_killed_deployer(engine: Engine, endpoints: Endpoints, tmp_path: Path) -> None:
    """A deployer that is killed while its container starts leaves what can be deleted."""
    program = (
        "import sys; from pathlib import Path; from system.test_container_endpoint import *\n"
        "there = Endpoints(LocalWorkspace(Path(sys.argv[1])), Registry(Path(sys.argv[2])))\n"
        "there.deploy(MODEL, DeploymentConfig(name='lost-endpoint', runtime=Runtime.CONTAINER))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    folder = write_bundle(tmp_path / "bundle")
    deployer = subprocess.Popen([sys.executable, "-c", program, str(endpoints._workspace.folder), str(folder)], env=environment)
    wait_until(lambda: "lost-endpoint" in engine("ps", "--all"))
    deployer.kill()
    deployer.wait(30)
    endpoints.delete("lost-endpoint")
    assert "lost-endpoint" not in engine("ps", "--all")


def test_engine_out_of_reach(endpoints: Endpoints, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the engine can't be asked the endpoint still answers, is not forgotten, and `auto` takes a process."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert endpoints.get("bank-endpoint").state is EndpointState.HEALTHY
    with pytest.raises(BackendUnavailableError, match="docker"):
        endpoints.delete("bank-endpoint")
    with pytest.raises(BackendUnavailableError, match="no container engine answers"):
        endpoints.deploy(MODEL, DeploymentConfig(name="late-endpoint", runtime=Runtime.CONTAINER))
    began = time.monotonic()
    deployed = endpoints.deploy(MODEL, DeploymentConfig(name="late-endpoint"))
    try:
        assert (deployed.runtime, time.monotonic() - began < 30) == ("process", True)
        assert "no container engine answers" in deployed.runtime_reason
    finally:
        endpoints.delete("late-endpoint")


def _container(endpoints: Endpoints, name: str = "bank-endpoint") -> str:
    return read_record(endpoints._files(name).folder).container


def _score(endpoint: Endpoint, key: str | None) -> int:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.post(endpoint.scoring_uri, json=ROWS, headers=headers, trust_env=False).status_code
