"""Another model behind the same address and keys: switched to without a failed request, and never to one that can't serve."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psutil
import pytest

from bankmlops.errors import ConflictError, DeploymentFailedError, NotFoundError
from bankmlops.local.processes import kill_family
from bankmlops.local.serving.endpoints import Endpoints
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import DeploymentConfig, Endpoint, EndpointState, Model, Parity
from support.bundles import YOUNG, write_bundle
from support.waiting import wait_until

pytestmark = pytest.mark.slow
NAME = "bank-endpoint"
PARITY = Parity(1e-7, 0, 60)
ROWS = {"data": [YOUNG]}


@dataclass
class Registry:
    """Versions of one model, each with the bundle in the folder of its number."""

    folder: Path
    models: dict[str, Model]

    def get(self, name: str, version: str | None = None) -> Model:
        found = self.models.get(version or "1")
        if found is None or found.name != name:
            raise NotFoundError(f"there is no version {version} of model {name!r}")
        return found

    def bundle(self, model: Model) -> Path:
        return self.folder / model.version

    def add(self, version: str, threshold: float, parity: Parity | None = PARITY) -> Model:
        """A version that answers "yes" from this probability on."""
        manifest = write_bundle(self.folder / version) / "model.json"
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "threshold": threshold}))
        self.models[version] = Model("bank", version, "AutoML_1", parity=parity)
        return self.models[version]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Version 1 says "no" of the young, version 2 says "yes"; 3 has no parity, 4 flipped labels, and 5 is no graph."""
    registry = Registry(tmp_path_factory.mktemp("registry"), {})
    registry.add("1", 0.5)
    registry.add("2", 0.0)
    registry.add("3", 0.0, parity=None)
    registry.add("4", 0.0, parity=Parity(1e-7, 2, 60))
    registry.add("5", 0.0)
    (registry.folder / "5" / "model.onnx").write_bytes(b"not a graph")
    return registry


@pytest.fixture(scope="module")
def endpoints(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Endpoints:
    return Endpoints(LocalWorkspace(tmp_path_factory.mktemp("updates") / "workspace"), registry)


@pytest.fixture
def endpoint(endpoints: Endpoints, registry: Registry) -> Iterator[Endpoint]:
    yield endpoints.deploy(registry.models["1"], DeploymentConfig(name=NAME, workers=2))
    endpoints.delete(NAME)


@contextmanager
def _load(asks: list[Callable[[], object]]) -> Iterator[Counter[object]]:
    """Ask again and again, each from a thread of its own; counts what came."""
    outcomes: Counter[object] = Counter()
    over = threading.Event()

    def run(ask: Callable[[], object]) -> None:
        while not over.is_set():
            outcomes[ask()] += 1

    threads = [threading.Thread(target=run, args=(ask,)) for ask in asks]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        over.set()
        for thread in threads:
            thread.join(60)


def _asker(endpoint: Endpoint, key: str, kept: int) -> Callable[[], object]:
    """Scores one row; with `kept` connections a client that goes on using them, with 0 a new one each time."""
    client = httpx.Client(trust_env=False, limits=httpx.Limits(max_keepalive_connections=kept), timeout=30)

    def ask() -> object:
        try:
            answer = client.post(endpoint.scoring_uri, json=ROWS, headers={"Authorization": f"Bearer {key}"})
        except httpx.HTTPError as error:
            return repr(error)
        return json.loads(answer.json())["result"][0] if answer.status_code == 200 else answer.status_code

    return ask


def test_there_and_back_under_load(endpoints: Endpoints, registry: Registry, endpoint: Endpoint) -> None:
    """Address and keys stay, the answers change, and no request fails while models are switched again and again."""
    keys = endpoints.keys(NAME)
    ask = _asker(endpoint, keys.primary, 0)
    with _load([ask, _asker(endpoint, keys.primary, 5), _asker(endpoint, keys.secondary, 5)]) as outcomes:
        for _ in range(2):
            updated = endpoints.update(NAME, registry.models["2"])
            assert (updated.model_version, updated.scoring_uri) == ("2", endpoint.scoring_uri)
            assert ask() == "yes"
            back = endpoints.rollback(NAME)
            assert (back.model_version, back.scoring_uri) == ("1", endpoint.scoring_uri)
            assert ask() == "no"
    assert set(outcomes) == {"yes", "no"}
    assert min(outcomes.values()) > 5
    assert endpoints.keys(NAME) == keys
    assert endpoints.rollback(NAME).model_version == "2"
    assert sorted(path.name.partition("-")[0] for path in endpoints._files(NAME).models.iterdir()) == ["1", "2"]


@pytest.mark.parametrize(
    ("version", "reason"), [("3", "no parity"), ("4", "2 of 60 rows"), ("5", r"model\.onnx is not the file")]
)
def test_a_version_that_cant_serve(
    endpoints: Endpoints, registry: Registry, endpoint: Endpoint, version: str, reason: str
) -> None:
    """What has no parity, or does not start, is a DeploymentFailedError of one line; the version before goes on."""
    ask = _asker(endpoint, endpoints.keys(NAME).primary, 0)
    with _load([ask]) as outcomes, pytest.raises(DeploymentFailedError, match=reason) as caught:
        endpoints.update(NAME, registry.models[version])
    assert "\n" not in str(caught.value)
    assert set(outcomes) == {"no"}
    assert endpoints.get(NAME) == endpoint
    with pytest.raises(ConflictError, match="served no other model before"):
        endpoints.rollback(NAME)
    assert endpoints.update(NAME, registry.models["2"]).model_version == "2"
    assert ask() == "yes"


def test_what_cant_be_asked(endpoints: Endpoints, registry: Registry, endpoint: Endpoint) -> None:
    """What is served already, or not there, or can't be switched because nobody serves, is said, and nothing changes."""
    with pytest.raises(ConflictError, match="serves version 1 of 'bank' already"):
        endpoints.update(NAME, registry.models["1"])
    with pytest.raises(NotFoundError, match="999"):
        endpoints.update(NAME, replace(registry.models["1"], version="999"))
    for ask in (lambda: endpoints.update("nobody", registry.models["2"]), lambda: endpoints.rollback("nobody")):
        with pytest.raises(NotFoundError, match="nobody"):
            ask()
    kill_family(endpoints._files(NAME).folder)
    with pytest.raises(ConflictError, match="does not serve"):
        endpoints.update(NAME, registry.models["2"])
    assert endpoints.get(NAME).model_version == "1"


def test_a_rollback_that_was_refused(endpoints: Endpoints, registry: Registry, endpoint: Endpoint) -> None:
    """Once its cause is mended the same rollback is done: the refusal of the first try is no answer to the second."""
    endpoints.update(NAME, registry.models["2"])
    files = endpoints._files(NAME)
    graph = files.models / files.settings().previous_model_folder / "model.onnx"
    content = graph.read_bytes()
    graph.write_bytes(b"not a graph")
    for _ in range(2):
        with pytest.raises(DeploymentFailedError, match=r"goes on with bank:2.*model\.onnx is not the file"):
            endpoints.rollback(NAME)
    graph.write_bytes(content)
    assert endpoints.rollback(NAME).model_version == "1"
    assert _asker(endpoint, endpoints.keys(NAME).primary, 0)() == "no"


def test_a_model_that_hangs(endpoints: Endpoints, registry: Registry, endpoint: Endpoint) -> None:
    """While no worker answers the endpoint is Unhealthy, and it can be rolled back: those that do not even retire are ended."""
    endpoints.update(NAME, registry.models["2"])
    ready = endpoints._files(NAME).ready()
    assert ready is not None
    supervisor = psutil.Process(ready.pid)
    wait_until(lambda: len(supervisor.children()) == 2)  # those of version 1 have gone
    for worker in supervisor.children():
        worker.suspend()
    assert endpoints.get(NAME).state is EndpointState.UNHEALTHY
    assert endpoints.rollback(NAME).state is EndpointState.HEALTHY
    assert _asker(endpoint, endpoints.keys(NAME).primary, 0)() == "no"


def test_an_update_that_was_killed(endpoints: Endpoints, registry: Registry, endpoint: Endpoint) -> None:
    """Whoever updates may die at any moment: the endpoint serves one of the two, says which, and can be updated again.

    What it goes back to is what was served then, and not what was refused.
    """
    files = endpoints._files(NAME)
    settings = files.settings()
    files.write(settings.with_model("bank", "5", files.add_model(registry.folder / "5", "5")), files.keys())
    ask = _asker(endpoint, endpoints.keys(NAME).primary, 0)
    assert ask() == "no"
    assert endpoints.get(NAME).model_version == "1"
    assert endpoints.update(NAME, registry.models["2"]).model_version == "2"
    assert ask() == "yes"
    assert endpoints.rollback(NAME).model_version == "1"
    assert ask() == "no"
