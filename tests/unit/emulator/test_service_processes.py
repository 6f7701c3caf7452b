"""Web services with their processes: Microsoft's inference server runs the user's script, and the front checks the keys."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from bankmlops.emulator.instance import Emulator
from bankmlops.emulator.services.service_keeper import ServiceKeeper
from support.served_emulator import Served
from support.web_services import FAILING, MODELS, deploy, image, operation, register_model, service, until

pytestmark = pytest.mark.slow


@contextmanager
def kept(emulator: Emulator) -> Iterator[None]:
    """A keeper at work in a thread of its own, as in the emulator's process."""
    keeper, stopping = ServiceKeeper(emulator), threading.Event()

    def work() -> None:
        while not stopping.wait(0.05):
            keeper.advance()
        keeper.stop()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


@pytest.fixture
def bank(served: Served) -> Iterator[Served]:
    """A healthy service named bank-aci."""
    with kept(served.emulator):
        ended = operation(served, deploy(served, service(served)))
        assert ended["state"] == "Succeeded", ended
        yield served
        served.call("DELETE", MODELS, "/services/bank-aci")


def _shown(served: Served) -> dict[str, object]:
    return served.call("GET", MODELS, "/services/bank-aci").json()


def _score(served: Served, key: str | None, rows: int = 2) -> httpx.Response:
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    body = json.dumps({"data": [{"age": 1}] * rows})
    return served.client.post(f"/aci/{served.workspace.id}/bank-aci/score", content=body, headers=headers)


def _keys(served: Served) -> dict[str, str]:
    return served.call("POST", MODELS, "/services/bank-aci/listkeys").json()


def _log(served: Served) -> str:
    return str(served.call("GET", MODELS, "/services/bank-aci/logs?tail=5000").json()["content"])


def _processes(folder: Path) -> list[psutil.Process]:
    def works_there(process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE and process.cwd().startswith(str(folder))
        except psutil.Error:
            return False

    return [process for process in psutil.process_iter() if works_there(process)]


def test_a_service_from_birth_to_death(bank: Served) -> None:
    """It scores for either key and for no other, writes its log without them, changes keys at once, and ends with its process."""
    shown = _shown(bank)
    assert (shown["state"], shown["scoringUri"]) == (
        "Healthy",
        f"{bank.emulator.base_url}/aci/{bank.workspace.id}/bank-aci/score",
    )
    keys = _keys(bank)
    for key in keys.values():
        answer = _score(bank, key)
        assert (answer.status_code, json.loads(answer.json())) == (200, {"result": ["yes", "yes"]})
    assert [_score(bank, key).status_code for key in (None, "wrong")] == [401, 401]
    assert bank.client.get(f"/aci/{bank.workspace.id}/bank-aci/").text == "Healthy"

    bank.call("POST", MODELS, "/services/bank-aci/regenerateKeys", json={"keyType": "Secondary"})
    assert [_score(bank, key).status_code for key in (keys["secondaryKey"], _keys(bank)["secondaryKey"])] == [401, 200]
    bank.call("PATCH", MODELS, "/services/bank-aci", json=[{"op": "replace", "path": "/authEnabled", "value": False}])
    assert _score(bank, None).status_code == 200

    until(lambda: "loaded yes" in _log(bank))
    assert "AppInsights" not in _log(bank)
    bank.call("PATCH", MODELS, "/services/bank-aci", json=[{"op": "replace", "path": "/appInsightsEnabled", "value": True}])
    _score(bank, None)
    assert 'AppInsights request {"name": "POST /score", "resultCode": 200' in _log(bank)
    assert not [key for key in keys.values() if key in _log(bank)]

    folder = bank.emulator.folder / "services" / bank.workspace.id
    assert _processes(folder)
    assert bank.call("DELETE", MODELS, "/services/bank-aci").status_code == 200
    until(lambda: not _processes(folder))
    assert list(folder.iterdir()) == []


def test_swagger(bank: Served) -> None:
    """The description has Azure's operations and definitions, and this service's address."""
    path = f"/aci/{bank.workspace.id}/bank-aci"
    document = bank.client.get(f"{path}/swagger.json").json()
    assert (document["swagger"], document["basePath"], document["info"]["title"]) == ("2.0", path, "bank-aci")
    assert sorted(entry["operationId"] for each in document["paths"].values() for entry in each.values()) == [
        "RunMLService",
        "ServiceHealthCheck",
    ]
    assert {"ServiceInput", "ServiceOutput", "ErrorResponse"} <= set(document["definitions"])


def test_a_failing_init(served: Served) -> None:
    """The operation and the service fail with the script's own words, which are in the log; the emulator lives on."""
    with kept(served.emulator):
        ended = operation(served, deploy(served, service(served, script=FAILING)))
        assert ended["state"] == "Failed"
        assert "the model is of another planet" in ended["error"]["message"]
        assert _shown(served)["state"] == "Failed"
        assert "RuntimeError: the model is of another planet" in _log(served)
        assert served.call("DELETE", MODELS, "/services/bank-aci").status_code == 200


def test_a_new_model_takes_over(bank: Served) -> None:
    """A patch with another image serves the new model under the old keys."""
    keys = _keys(bank)
    patch = [{"op": "replace", "path": "/environmentImageRequest", "value": image(bank, register_model(bank, b"no"))}]
    answer = bank.call("PATCH", MODELS, "/services/bank-aci", json=patch)
    assert operation(bank, answer.headers["Operation-Location"].rpartition("/")[2])["state"] == "Succeeded"
    assert json.loads(_score(bank, keys["primaryKey"], 1).json()) == {"result": ["no"]}
    assert [model["id"] for model in _shown(bank)["models"]] == ["bank:2"]


def test_a_killed_process_comes_back(bank: Served) -> None:
    """A service whose process dies is unhealthy for a while, then serves again; the log says so."""
    for process in _processes(bank.emulator.folder / "services"):
        process.kill()
    until(lambda: "is restarted" in _log(bank))
    until(lambda: _score(bank, _keys(bank)["primaryKey"]).status_code == 200)
    assert _shown(bank)["state"] == "Healthy"


def test_services_come_back_with_the_emulator(served: Served) -> None:
    """When the emulator stops its services end; when it starts they serve again, with the same keys."""
    start: Callable[[], AbstractContextManager[None]] = lambda: kept(served.emulator)  # noqa: E731
    with start():
        operation(served, deploy(served, service(served)))
        key = _keys(served)["primaryKey"]
    assert _processes(served.emulator.folder / "services") == []
    with start():
        until(lambda: _score(served, key).status_code == 200)
        served.call("DELETE", MODELS, "/services/bank-aci")
