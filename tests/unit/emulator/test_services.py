"""Web services on the wire, as far as no process is needed: what is refused, keys, logs, files."""

from __future__ import annotations

import os
import socket
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bankmlops.emulator.services import deployments, service_files, service_front, service_log
from bankmlops.emulator.web import wire
from bankmlops.emulator.web.operations import begin_operation, end_operation
from bankmlops.errors import InvalidRequestError, NotFoundError
from support.served_emulator import Served
from support.web_services import MODELS, deploy, image, packed, register_model, service, upload


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "Not A Name"}, "service name 'Not A Name'"),
        ({"name": "ab"}, "service name 'ab'"),
        ({"computeType": "AKS"}, "AKS is not emulated"),
        ({"environmentImageRequest": {"modelIds": []}}, "entry script"),
        ({"sslEnabled": True}, "ssl_enabled is not emulated"),
    ],
)
def test_a_bad_service_is_refused(served: Served, changes: dict[str, object], words: str) -> None:
    """Validation answers with the words, which the SDK raises; the deployment itself is a 400."""
    body = service(served) | changes
    asked = {"type": "Create", "serviceName": body["name"], "createRequest": body, "updateRequest": None}
    assert words in served.call("POST", MODELS, "/services/validate", json=asked).json()["error"]["message"]
    answer = served.call("POST", MODELS, "/services", json=body)
    assert (answer.status_code, words in answer.text) == (400, True)


def test_a_model_that_is_not_there(served: Served) -> None:
    """A deployment of an unknown model is a 404 and leaves nothing."""
    body = service(served)
    body["environmentImageRequest"]["modelIds"] = ["nobody:1"]
    assert served.call("POST", MODELS, "/services", json=body).status_code == 404
    assert served.call("GET", MODELS, "/services").json() == {"value": []}


def test_a_name_that_is_taken(served: Served) -> None:
    """The name is refused when it is validated and when it is deployed, unless it is to be overwritten."""
    assert served.call("POST", MODELS, "/services/validate/name/bank-aci", json={}).json() == {}
    deploy(served, service(served))
    validated = served.call("POST", MODELS, "/services/validate/name/bank-aci", json={}).json()
    assert "already exists" in validated["error"]["message"]
    assert served.call("POST", MODELS, "/services", json=service(served)).status_code == 409
    deploy(served, service(served, overwrite=True))


def test_how_a_service_is_shown(served: Served) -> None:
    """It has what the SDK reads, and no key; it is found by tag and by model."""
    deploy(served, service(served))
    shown = served.call("GET", MODELS, "/services/bank-aci?expand=true").json()
    of_every_service = {"computeType", "createdTime", "description", "kvTags", "name", "properties"}
    of_aci = {"appInsightsEnabled", "authEnabled", "cname", "containerResourceRequirements", "location", "publicIp", "scoringUri"}
    assert of_every_service | of_aci | {"sslCertificate", "sslEnabled", "sslKey"} <= set(shown)
    assert "keys" not in shown
    assert (shown["state"], shown["scoringUri"], shown["models"][0]["id"]) == ("Transitioning", None, "bank:1")
    for query, found in {
        "tags=team=risk": 1,
        "tags=team=other": 0,
        "modelName=bank": 1,
        "modelId=bank:9": 0,
        "computeType=AKS": 0,
    }.items():
        assert len(served.call("GET", MODELS, f"/services?{query}").json()["value"]) == found, query
    assert served.call("GET", MODELS, "/services/nobody").status_code == 404


def test_keys(served: Served) -> None:
    """Keys are given or made; one is replaced at once, by a value of the caller's or a new one; the other stays."""
    deploy(served, service(served, keys={"primaryKey": "my-own-key", "secondaryKey": None}))
    before = served.call("POST", MODELS, "/services/bank-aci/listkeys").json()
    assert before["primaryKey"] == "my-own-key"
    answer = served.call("POST", MODELS, "/services/bank-aci/regenerateKeys", json={"keyType": "Primary", "keyValue": None})
    assert answer.status_code == 202
    after = served.call("POST", MODELS, "/services/bank-aci/listkeys").json()
    assert after["primaryKey"] not in (before["primaryKey"], before["secondaryKey"])
    assert (len(after["primaryKey"]), after["secondaryKey"]) == (32, before["secondaryKey"])
    wrong = served.call("POST", MODELS, "/services/bank-aci/regenerateKeys", json={"keyType": "Third"})
    assert wrong.status_code == 400


def test_no_keys_without_authentication(served: Served) -> None:
    """A service that is open to all has no keys to list."""
    deploy(served, service(served, authEnabled=False))
    assert served.call("POST", MODELS, "/services/bank-aci/listkeys").status_code == 409


def test_patch(served: Served) -> None:
    """Telemetry and tags change at once; what can't be patched is refused."""
    deploy(served, service(served))
    patch = [
        {"op": "replace", "path": "/appInsightsEnabled", "value": True},
        {"op": "replace", "path": "/kvTags", "value": {"a": "b"}},
    ]
    answer = served.call("PATCH", MODELS, "/services/bank-aci", json=patch)
    operation = served.call("GET", MODELS, f"/operations/{answer.headers['Operation-Location'].rpartition('/')[2]}").json()
    assert (answer.status_code, operation["state"]) == (202, "Succeeded")
    shown = served.call("GET", MODELS, "/services/bank-aci").json()
    assert (shown["appInsightsEnabled"], shown["kvTags"]) == (True, {"a": "b"})
    refused = served.call("PATCH", MODELS, "/services/bank-aci", json=[{"op": "replace", "path": "/name", "value": "x"}])
    assert refused.status_code == 400
    empty = served.call(
        "PATCH", MODELS, "/services/bank-aci", json=[{"op": "replace", "path": "/environmentImageRequest", "value": {}}]
    )
    assert (empty.status_code, "entry script" in empty.text) == (400, True)


def test_delete(served: Served) -> None:
    """A deleted service is gone, and whoever waits for its deployment is told; deleting it again is a 204."""
    operation_id = deploy(served, service(served))
    assert served.call("DELETE", MODELS, "/services/bank-aci").status_code == 200
    assert served.call("GET", MODELS, "/services/bank-aci").status_code == 404
    assert served.call("GET", MODELS, f"/operations/{operation_id}").json()["state"] == "Failed"
    assert served.call("DELETE", MODELS, "/services/bank-aci").status_code == 204
    assert served.call("GET", MODELS, "/services/bank-aci/logs").status_code == 404


def test_the_front_before_the_service_is_ready(served: Served) -> None:
    """Without a key 401, with one 503; an unknown service is a 404."""
    deploy(served, service(served))
    path = f"/aci/{served.workspace.id}/bank-aci"
    key = served.call("POST", MODELS, "/services/bank-aci/listkeys").json()["primaryKey"]
    assert served.client.post(f"{path}/score", json={}).status_code == 401
    assert served.client.post(f"{path}/score", json={}, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert served.client.post(f"{path}/score", json={}, headers={"Authorization": key}).status_code == 401
    assert served.client.post(f"{path}/score", json={}, headers={"Authorization": f"Bearer {key}"}).status_code == 503
    assert served.client.get(f"/aci/{served.workspace.id}/nobody/score").status_code == 404


@pytest.fixture(params=["with a filter", "before 3.11.4"])
def any_tarfile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's `tarfile` as it is, and as Debian 12 has it."""
    if request.param != "with a filter":
        monkeypatch.delattr(tarfile, "data_filter", raising=False)


@pytest.mark.usefixtures("any_tarfile")
def test_the_folder_of_a_service(served: Served, tmp_path: Path) -> None:
    """Sources are unpacked, and each model lies under its name and version; one model's folder is the model folder."""
    archive = upload(served, "source.tar.gz", packed({"src/score.py": b"# score", "src/helper.py": b"# helper"}))
    request = image(served, register_model(served))
    request["assets"][1] = {"id": "source.tar.gz", "url": f"aml://artifact/{archive}", "unpack": True}
    root = service_files.lay_out(served.workspace, request, tmp_path / "one")
    assert (root / "main.py").read_text() == "# the SDK's driver\n"
    assert (root / "src" / "helper.py").read_text() == "# helper"
    model_folder = service_files.model_folder(served.workspace, request, root)
    assert model_folder == root / "azureml-models" / "bank" / "1"
    assert (model_folder / "model.txt").read_bytes() == b"yes"
    request["modelIds"].append(register_model(served, b"no", "other"))
    assert service_files.model_folder(served.workspace, request, root) == root / "azureml-models"


@pytest.mark.usefixtures("any_tarfile")
@pytest.mark.parametrize("name", ["../outside.py", "../../outside.py"])
def test_an_archive_that_points_outside(served: Served, tmp_path: Path, name: str) -> None:
    """It is refused, and nothing is written outside of the service's folder."""
    archive = upload(served, "source.tar.gz", packed({name: b"bad"}))
    request = image(served, register_model(served))
    request["assets"] = [{"id": "source.tar.gz", "url": f"aml://artifact/{archive}", "unpack": True}]
    with pytest.raises(InvalidRequestError, match=r"can't be unpacked|out of its folder"):
        service_files.lay_out(served.workspace, request, tmp_path / "service")
    assert list(tmp_path.rglob("outside.py")) == []


@pytest.mark.parametrize(
    ("url", "error"),
    [("https://elsewhere/score.py", InvalidRequestError), ("aml://artifact/LocalUpload/gone/score.py", NotFoundError)],
)
def test_an_asset_that_can_not_be_used(served: Served, tmp_path: Path, url: str, error: type[Exception]) -> None:
    """An asset from elsewhere is refused, one that is lost is named."""
    request = {"driverProgram": "d", "assets": [{"id": "score.py", "url": url}], "modelIds": []}
    with pytest.raises(error):
        service_files.lay_out(served.workspace, request, tmp_path / "service")


def test_the_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full log turns; the newest lines are read across the turn, and an endless line is cut."""
    monkeypatch.setattr(service_log, "MAX_BYTES", 100)
    log = tmp_path / "container.log"
    for number in range(30):
        service_log.append(log, f"line {number}")
    assert service_log.tail(log, 12) == "".join(f"line {number}\n" for number in range(18, 30))
    assert log.stat().st_size <= 100
    assert log.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(service_log, "MAX_LINE", 5)
    service_log.append(log, "a very long line")
    assert service_log.tail(log, 1) == "a ver\n"
    assert service_log.tail(tmp_path / "none", 5) == ""


def test_a_port_of_an_earlier_emulator(served: Served) -> None:
    """A port that was written down before a restart is nobody's: the front must not pass a request to a stranger."""
    documents = served.workspace.documents
    documents.put("service_port", "bank-aci", {"port": 1, "emulator": 0})
    assert deployments.port_of(documents, "bank-aci") is None


@pytest.fixture
def listener(served: Served) -> Iterator[socket.socket]:
    """What the front takes for the process of a service that wants no key: it takes connections and never says a word."""
    deploy(served, service(served, authEnabled=False, overwrite=True))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = {"port": listener.getsockname()[1], "emulator": os.getpid()}
        served.workspace.documents.put("service_port", "bank-aci", port)
        yield listener
    served.call("DELETE", MODELS, "/services/bank-aci")


def test_a_service_that_is_too_slow(served: Served, listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that does not answer in time is a 504 that says so."""
    monkeypatch.setattr(service_front, "SCORING_SECONDS", 0.2)
    answer = served.client.post(f"/aci/{served.workspace.id}/bank-aci/score", json={})
    assert (answer.status_code, "did not answer within" in answer.text) == (504, True)


def test_a_service_that_is_gone(served: Served, listener: socket.socket) -> None:
    """A service whose process has just died is a 502 until that is noticed."""
    listener.close()
    answer = served.client.post(f"/aci/{served.workspace.id}/bank-aci/score", json={})
    assert (answer.status_code, "did not answer" in answer.text) == (502, True)


def test_an_operation_is_waited_for(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """How an operation stands is answered when it has ended, or when it was waited for long enough."""
    operation_id = deploy(served, service(served))
    path = f"/operations/{operation_id}"
    assert served.call("GET", MODELS, path).json()["state"] == "Running"
    monkeypatch.setattr(served.emulator, "is_at_work", True)
    timer = threading.Timer(0.3, end_operation, (served.workspace, operation_id))
    timer.start()
    assert served.call("GET", MODELS, path).json()["state"] == "Succeeded"
    timer.join()
    monkeypatch.setattr(wire, "HOLD_SECONDS", 0.2)
    assert served.call("GET", MODELS, f"/operations/{begin_operation(served.workspace, 'slow')}").json()["state"] == "Running"
