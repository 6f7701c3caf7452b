"""Endpoints of the local backend: real scoring processes, found by name, and gone without a trace when they are deleted."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from bankmlops.errors import (
    BackendUnavailableError,
    ConflictError,
    DeploymentFailedError,
    InvalidRequestError,
    NotFoundError,
)
from bankmlops.local.processes import kill_family
from bankmlops.local.serving.endpoints import Endpoints
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import DeploymentConfig, Endpoint, EndpointState, KeyName, Model, Parity, UnknownCategories
from support.bundles import OLD, YOUNG, write_bundle

MODEL = Model("bank", "1", "AutoML_1", parity=Parity(1e-7, 0, 60))
ROWS = {"data": [YOUNG, OLD]}


@dataclass
class Registry:
    """A registry with one model, whose bundle is in `folder`."""

    folder: Path

    def get(self, name: str, version: str | None = None) -> Model:
        if name != MODEL.name or version not in (None, MODEL.version):
            raise NotFoundError(f"there is no model {name!r}")
        return MODEL

    def bundle(self, model: Model) -> Path:
        return self.folder


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[LocalWorkspace]:
    """A workspace whose processes end with the test."""
    workspace = LocalWorkspace(tmp_path / "workspace")
    yield workspace
    for process in _processes(workspace.folder):
        with suppress(psutil.NoSuchProcess):  # a worker ends with its supervisor
            process.kill()
            process.wait(10)


@pytest.fixture
def endpoints(workspace: LocalWorkspace, tmp_path: Path) -> Endpoints:
    return Endpoints(workspace, Registry(write_bundle(tmp_path / "bundle")))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """Endpoints with one that is deployed, for the tests that leave it as it is."""
    folder = tmp_path_factory.mktemp("shared")
    endpoints = Endpoints(LocalWorkspace(folder / "workspace"), Registry(write_bundle(folder / "bundle")))
    endpoints.deploy(MODEL, DeploymentConfig(name="bank-endpoint", tags={"team": "risk"}))
    yield endpoints
    endpoints.delete("bank-endpoint")
    assert not _processes(folder)


@pytest.mark.slow
def test_healthy(shared: Endpoints) -> None:
    """A deployed endpoint is healthy, knows its model and tags, and how long it took to start."""
    found = shared.get("bank-endpoint")
    assert (found.state, found.runtime) == (EndpointState.HEALTHY, "process")
    assert (found.model_name, found.model_version, dict(found.tags)) == ("bank", "1", {"team": "risk"})
    assert 0 < found.cold_start_seconds < 120
    assert found.created is not None
    assert shared.list() == (found,)
    assert httpx.get(found.swagger_uri, trust_env=False).json()["swagger"] == "2.0"


@pytest.mark.slow
def test_both_keys_score(shared: Endpoints) -> None:
    """Each key opens it; they differ, and hold 256 bits."""
    endpoint, keys = shared.get("bank-endpoint"), shared.keys("bank-endpoint")
    assert keys.primary != keys.secondary
    for key in (keys.primary, keys.secondary):
        assert len(key) == 43
        assert _score(endpoint, key) == (200, ["no", "yes"])


@pytest.mark.slow
def test_keys_are_the_owners_alone(shared: Endpoints, workspace: LocalWorkspace) -> None:
    """Keys stand in one file of mode 0600, and in no argument, environment, log, repr or other file."""
    keys = shared.keys("bank-endpoint")
    endpoint = shared.get("bank-endpoint")
    _score(endpoint, keys.primary)
    folder = shared._files("bank-endpoint").folder
    holders = [path for path in folder.rglob("*") if path.is_file() and keys.primary in path.read_text(errors="replace")]
    assert [path.name for path in holders] == ["keys.json"]
    assert {oct(path.stat().st_mode & 0o777) for path in folder.glob("*.json")} == {"0o600"}
    assert folder.stat().st_mode & 0o777 == 0o700
    for process in _processes(folder):
        assert keys.primary not in f"{process.cmdline()} {process.environ()} {endpoint!r} {keys!r}"


@pytest.mark.slow
def test_regenerated_key(shared: Endpoints) -> None:
    """A regenerated key counts at the next request, the old one no more, and the other goes on working."""
    endpoint, before = shared.get("bank-endpoint"), shared.keys("bank-endpoint")
    after = shared.regenerate_key("bank-endpoint", KeyName.SECONDARY)
    assert after.primary == before.primary
    assert shared.keys("bank-endpoint") == after
    assert [_score(endpoint, key)[0] for key in (after.primary, after.secondary, before.secondary)] == [200, 200, 403]


@pytest.mark.slow
def test_app_insights(shared: Endpoints) -> None:
    """Telemetry is turned on and off while it runs, and both keys go on working."""
    keys = shared.keys("bank-endpoint")
    assert shared.set_app_insights("bank-endpoint", True).app_insights
    endpoint = shared.get("bank-endpoint")
    assert endpoint.app_insights
    assert _score(endpoint, keys.secondary)[0] == 200
    assert not shared.set_app_insights("bank-endpoint", False).app_insights


@pytest.mark.slow
def test_data_collection(shared: Endpoints) -> None:
    """The collector is turned on and off while it runs: what is asked in between is kept, and nothing else."""
    endpoint, keys = shared.get("bank-endpoint"), shared.keys("bank-endpoint")
    collected = shared._files("bank-endpoint").folder / "collected.jsonl"
    for enabled in (False, True, False):
        assert shared.set_data_collection("bank-endpoint", enabled).collect_model_data is enabled
        assert _score(endpoint, keys.primary)[0] == 200
    _wait(lambda: collected.exists() and collected.read_text())
    assert collected.read_text().count("\n") == 1


@pytest.mark.slow
def test_logs(shared: Endpoints) -> None:
    """The log has a line for each request, oldest first, and holds no key."""
    keys = shared.keys("bank-endpoint")
    _score(shared.get("bank-endpoint"), keys.primary)
    lines = _wait(lambda: [line for line in shared.logs("bank-endpoint") if "POST /score 200" in line and "key=Primary" in line])
    assert "model=bank:1" in lines[-1]
    assert "serves model bank:1" in shared.logs("bank-endpoint")[0]
    assert not [line for line in shared.logs("bank-endpoint") if keys.primary in line or keys.secondary in line]


@pytest.mark.slow
def test_taken_name(shared: Endpoints) -> None:
    """A second deployment under the name is a ConflictError, and the first goes on."""
    with pytest.raises(ConflictError, match="'bank-endpoint' exists already"):
        shared.deploy(MODEL, DeploymentConfig(name="bank-endpoint"))
    assert shared.get("bank-endpoint").state is EndpointState.HEALTHY


@pytest.mark.slow
def test_found_by_another_process(shared: Endpoints, tmp_path: Path) -> None:
    """Another process finds it by its name, with its state and its keys."""
    program = (
        "import sys; from pathlib import Path; from bankmlops.local.serving.endpoints import Endpoints\n"
        "from bankmlops.local.workspace import LocalWorkspace\n"
        "found = Endpoints(LocalWorkspace(Path(sys.argv[1])), None).get('bank-endpoint'); print(found.state, found.scoring_uri)"
    )
    arguments = [sys.executable, "-c", program, str(shared._workspace.folder)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["Healthy", shared.get("bank-endpoint").scoring_uri]


@pytest.mark.slow
def test_outlives_its_deployer_and_dies_visibly(endpoints: Endpoints, workspace: LocalWorkspace, tmp_path: Path) -> None:
    """It goes on after its deployer ended, is Failed without URLs after `kill -9`, and its name is free after a deletion."""
    done = _deployer(workspace, tmp_path).wait(120)
    assert done == 0
    # One look may find it Unhealthy on a machine so busy that an answer takes 2 s, or not quite dead yet: what counts is the end.
    _wait(lambda: endpoints.get("bank-endpoint").state is EndpointState.HEALTHY)
    kill_family(workspace.folder / "endpoints" / "bank-endpoint")
    _wait(lambda: endpoints.get("bank-endpoint").state is EndpointState.FAILED)
    found = endpoints.get("bank-endpoint")
    assert (found.scoring_uri, found.swagger_uri) == ("", "")
    assert endpoints.logs("bank-endpoint")
    endpoints.delete("bank-endpoint")
    endpoints.delete("bank-endpoint")
    with pytest.raises(NotFoundError, match="bank-endpoint"):
        endpoints.get("bank-endpoint")


@pytest.mark.slow
def test_stopped_process_is_unhealthy(endpoints: Endpoints, workspace: LocalWorkspace) -> None:
    """Processes that are there and do not answer are Unhealthy, and are deleted all the same."""
    endpoints.deploy(MODEL, DeploymentConfig(name="bank-endpoint"))
    processes = _processes(workspace.folder)
    for process in processes:
        process.suspend()
    assert endpoints.get("bank-endpoint").state is EndpointState.UNHEALTHY
    for process in processes:
        process.resume()
    assert endpoints.get("bank-endpoint").state is EndpointState.HEALTHY
    endpoints.delete("bank-endpoint")
    assert not [process for process in processes if process.is_running()]
    assert not list((workspace.folder / "endpoints").iterdir())


@pytest.mark.slow
def test_without_keys(endpoints: Endpoints) -> None:
    """Without authentication everyone is answered, and there are no keys to read or renew, while telemetry is still switched.

    What else the deployment set stays as it is.
    """
    config = DeploymentConfig(
        name="open-endpoint",
        auth_enabled=False,
        cors_origins=("*",),
        plain_json=True,
        unknown_categories=UnknownCategories.REFUSE,
    )
    endpoint = endpoints.deploy(MODEL, config)
    try:
        assert not endpoint.auth_enabled
        assert endpoints.set_app_insights("open-endpoint", True).app_insights
        answer = httpx.post(endpoint.scoring_uri, json=ROWS, headers={"Origin": "https://a.example"}, trust_env=False)
        assert answer.json() == {"result": ["no", "yes"]}
        assert answer.headers["access-control-allow-origin"] == "*"
        unknown = httpx.post(endpoint.scoring_uri, json={"data": [{"age": 20, "job": "astronaut"}]}, trust_env=False)
        assert unknown.status_code == 400
        with pytest.raises(ConflictError, match="no keys"):
            endpoints.keys("open-endpoint")
        with pytest.raises(ConflictError, match="no keys"):
            endpoints.regenerate_key("open-endpoint", KeyName.PRIMARY)
    finally:
        endpoints.delete("open-endpoint")


@pytest.mark.slow
def test_port_as_asked(endpoints: Endpoints) -> None:
    """A free port that is asked for is the one that is served, and a second endpoint on it is a ConflictError in one line."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    endpoint = endpoints.deploy(MODEL, DeploymentConfig(name="bank-endpoint", port=port))
    try:
        assert endpoint.scoring_uri == f"http://127.0.0.1:{port}/score"
        with pytest.raises(ConflictError, match=str(port)) as caught:
            endpoints.deploy(MODEL, DeploymentConfig(name="other-endpoint", port=port))
        assert "\n" not in str(caught.value)
        assert [found.name for found in endpoints.list()] == ["bank-endpoint"]
    finally:
        endpoints.delete("bank-endpoint")


@pytest.mark.slow
def test_broken_bundle(endpoints: Endpoints, workspace: LocalWorkspace, tmp_path: Path) -> None:
    """A model that does not start is a DeploymentFailedError with the log's last line, and leaves nothing."""
    (tmp_path / "bundle" / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(DeploymentFailedError, match=r"model\.onnx is not the file that model\.json names") as caught:
        endpoints.deploy(MODEL, DeploymentConfig(name="bank-endpoint"))
    assert "\n" not in str(caught.value)
    _assert_nothing_left(endpoints, workspace)


@pytest.mark.slow
def test_timeout(endpoints: Endpoints, workspace: LocalWorkspace) -> None:
    """A deployment that takes longer than it may is a DeploymentFailedError, and leaves nothing."""
    with pytest.raises(DeploymentFailedError, match=r"not healthy within 0\.05 s"):
        endpoints.deploy(MODEL, DeploymentConfig(name="bank-endpoint", timeout_seconds=0.05))
    _assert_nothing_left(endpoints, workspace)


@pytest.mark.slow
def test_interrupted(endpoints: Endpoints, workspace: LocalWorkspace, tmp_path: Path) -> None:
    """Ctrl-C while the process starts leaves neither it nor its name."""
    deployer = _deployer(workspace, tmp_path)
    _wait(lambda: _processes(workspace.folder / "endpoints"))
    deployer.send_signal(signal.SIGINT)
    assert deployer.wait(30) != 0
    _assert_nothing_left(endpoints, workspace)


@pytest.mark.slow
def test_killed_deployer(endpoints: Endpoints, workspace: LocalWorkspace, tmp_path: Path) -> None:
    """A deployer that is killed at any moment leaves what can be deleted, and the name can be used again."""
    deployer = _deployer(workspace, tmp_path)
    _wait(lambda: _processes(workspace.folder / "endpoints"))
    deployer.kill()
    deployer.wait(30)
    endpoints.delete("bank-endpoint")
    _assert_nothing_left(endpoints, workspace)
    assert endpoints.deploy(MODEL, DeploymentConfig(name="bank-endpoint")).state is EndpointState.HEALTHY
    endpoints.delete("bank-endpoint")


@pytest.mark.slow
def test_two_deployers(endpoints: Endpoints, workspace: LocalWorkspace) -> None:
    """Of two that deploy under one name at once one wins, and the other is told that the name is taken."""
    outcomes: list[object] = []

    def deploy() -> None:
        try:
            outcomes.append(endpoints.deploy(MODEL, DeploymentConfig(name="bank-endpoint")).state)
        except ConflictError as error:
            outcomes.append(type(error))

    threads = [threading.Thread(target=deploy) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(map(str, outcomes)) == sorted(map(str, (EndpointState.HEALTHY, ConflictError)))
    assert len(_processes(workspace.folder)) == 4, "one supervisor, its worker, and the two that wait beside it"
    endpoints.delete("bank-endpoint")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DeploymentConfig(name="Not A Name"), "Not A Name"),
        (DeploymentConfig(name="../up"), "endpoint name"),
        (DeploymentConfig(name="bank-endpoint", port=70000), "70000"),
        (DeploymentConfig(name="bank-endpoint", cors_origins=("example.org",)), "'example.org' is no origin"),
        (DeploymentConfig(name="bank-endpoint", timeout_seconds=0), "timeout_seconds"),
        (DeploymentConfig(name="bank-endpoint", workers=0), "workers 0"),
        (DeploymentConfig(name="bank-endpoint", timeout_seconds=float("nan")), "timeout_seconds"),
    ],
)
def test_bad_fields(endpoints: Endpoints, workspace: LocalWorkspace, config: DeploymentConfig, message: str) -> None:
    """A name, a port or a timeout that can't serve is refused with a line that shows it."""
    with pytest.raises(InvalidRequestError, match=message):
        endpoints.deploy(MODEL, config)
    _assert_nothing_left(endpoints, workspace)


def test_busy_port(endpoints: Endpoints, workspace: LocalWorkspace) -> None:
    """A port that somebody else listens on is a ConflictError that names it, and nothing is started."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConflictError, match=f"port {port} can't be listened on"):
            endpoints.deploy(MODEL, DeploymentConfig(name="bank-endpoint", port=port))
    _assert_nothing_left(endpoints, workspace)


def test_unknown_model(endpoints: Endpoints, workspace: LocalWorkspace, tmp_path: Path) -> None:
    """A model that is not registered, or has no bundle, is NotFoundError."""
    with pytest.raises(NotFoundError, match="nobody"):
        endpoints.deploy(Model("nobody", "1", ""), DeploymentConfig(name="bank-endpoint"))
    (tmp_path / "bundle").rename(tmp_path / "elsewhere")
    with pytest.raises(NotFoundError, match="no exported bundle"):
        endpoints.deploy(MODEL, DeploymentConfig(name="bank-endpoint"))
    _assert_nothing_left(endpoints, workspace)


def test_unknown_endpoint(endpoints: Endpoints) -> None:
    """An endpoint that is not there is NotFoundError, whatever is asked of it, but deleting it is no error."""
    for ask in (endpoints.get, endpoints.keys, endpoints.logs):
        with pytest.raises(NotFoundError, match="nobody"):
            ask("nobody")
    with pytest.raises(NotFoundError, match="nobody"):
        endpoints.set_app_insights("nobody", True)
    with pytest.raises(NotFoundError):
        endpoints.set_data_collection("nobody", True)
    with pytest.raises(NotFoundError, match="nobody"):
        endpoints.regenerate_key("nobody", KeyName.PRIMARY)
    endpoints.delete("nobody")
    endpoints.delete("../../etc")
    assert endpoints.list() == ()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"name": "bank-endpoint"}'])
def test_damaged_settings(endpoints: Endpoints, workspace: LocalWorkspace, content: str) -> None:
    """An endpoint whose files somebody damaged says which one, and can still be deleted."""
    folder = workspace.folder_of("endpoints", "bank-endpoint")
    (folder / "service.json").write_text(content)
    with workspace.database() as database:
        database.execute(
            "INSERT INTO endpoints (name, model_name, model_version, tags, created)"
            " VALUES ('bank-endpoint', 'bank', '1', '{}', '')"
        )
    with pytest.raises(BackendUnavailableError, match=r"service\.json is missing or damaged"):
        endpoints.get("bank-endpoint")
    endpoints.delete("bank-endpoint")
    _assert_nothing_left(endpoints, workspace)


def _score(endpoint: Endpoint, key: str | None) -> tuple[int, object]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    response = httpx.post(endpoint.scoring_uri, json=ROWS, headers=headers, trust_env=False)
    document = response.json()
    return response.status_code, json.loads(document)["result"] if isinstance(document, str) else None


def _deployer(workspace: LocalWorkspace, folder: Path) -> subprocess.Popen[bytes]:
    """A process that deploys, as a command does."""
    program = (
        "import sys; from pathlib import Path\n"
        "from unit.local.test_endpoints import MODEL, DeploymentConfig, Endpoints, LocalWorkspace, Registry\n"
        "endpoints = Endpoints(LocalWorkspace(Path(sys.argv[1])), Registry(Path(sys.argv[2])))\n"
        "endpoints.deploy(MODEL, DeploymentConfig(name='bank-endpoint'))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    arguments = [sys.executable, "-c", program, str(workspace.folder), str(folder / "bundle")]
    return subprocess.Popen(arguments, env=environment, stderr=subprocess.DEVNULL)


def _processes(folder: Path) -> list[psutil.Process]:
    """The scoring processes that serve from below `folder`."""
    found = []
    for process in psutil.process_iter():
        try:
            arguments = process.cmdline()
            if "bankmlops.scoring" in arguments and any(part.startswith(str(folder)) for part in arguments):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _assert_nothing_left(endpoints: Endpoints, workspace: LocalWorkspace) -> None:
    assert endpoints.list() == ()
    assert not _processes(workspace.folder)
    folder = workspace.folder / "endpoints"
    assert not folder.exists() or not list(folder.iterdir())


def _wait(look: Callable[[], Any], seconds: float = 30.0) -> Any:
    """What `look` answers once it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := look():
            return answer
        time.sleep(0.01)
    raise AssertionError("it did not happen")
