"""Web services of the emulator, deployed over HTTP as Azure ML's SDK deploys them."""

from __future__ import annotations

import io
import tarfile
import time
import uuid
from collections.abc import Callable
from typing import Any

from support.served_emulator import Served

MODELS = "/modelmanagement/v1.0"
ARTIFACTS = "/artifact/v2.0"
SCORE = """
import json, os
def init():
    global model
    with open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.txt")) as file:
        model = file.read()
    print("loaded", model)
def run(data):
    return json.dumps({"result": [model for _ in json.loads(data)["data"]]})
"""
FAILING = """
def init():
    raise RuntimeError("the model is of another planet")
def run(data):
    return "never"
"""


def upload(served: Served, name: str, content: bytes) -> str:
    """Store bytes as an uploaded artifact, and answer its id."""
    container = uuid.uuid4().hex[:8]
    answer = served.call("POST", ARTIFACTS, f"/artifacts/content/LocalUpload/{container}/{name}", content=content)
    return str(answer.json()["artifactId"])


def register_model(served: Served, content: bytes = b"yes", name: str = "bank") -> str:
    """Register a model of one file, `model.txt`, and answer its id."""
    artifact = upload(served, "model.txt", content)
    asset = served.call("POST", MODELS, "/assets", json={"name": name, "artifacts": [{"prefix": artifact}]}).json()
    body = {"name": name, "url": f"aml://asset/{asset['id']}"}
    return str(served.call("POST", MODELS, "/models", json=body).json()["id"])


def image(served: Served, model_id: str, script: str = SCORE) -> dict[str, Any]:
    """An `environmentImageRequest` with a driver and a script."""
    driver, score = upload(served, "driver.py", b"# the SDK's driver\n"), upload(served, "score.py", script.encode())
    return {
        "driverProgram": "tmpdriver.py",
        "assets": [
            {"id": "tmpdriver.py", "url": f"aml://artifact/{driver}", "mimeType": "application/x-python"},
            {"id": "score.py", "url": f"aml://artifact/{score}", "mimeType": "application/octet-stream"},
        ],
        "modelIds": [model_id],
        "environment": {"name": "env", "environmentVariables": {"AZUREML_ENTRY_SCRIPT": "score.py"}},
    }


def packed(files: dict[str, bytes]) -> bytes:
    """A tar.gz."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def service(served: Served, name: str = "bank-aci", script: str = SCORE, **changes: object) -> dict[str, Any]:
    """The body that deploys a service."""
    usual = {
        "name": name,
        "computeType": "ACI",
        "authEnabled": True,
        "appInsightsEnabled": False,
        "kvTags": {"team": "risk"},
        "keys": {"primaryKey": None, "secondaryKey": None},
        "containerResourceRequirements": {"cpu": 1, "memoryInGB": 1},
    }
    request = changes.pop("image", None) or image(served, register_model(served), script)
    return {**usual, "environmentImageRequest": request, **changes}


def deploy(served: Served, body: dict[str, Any]) -> str:
    """Post it, and answer the id of the operation."""
    answer = served.call("POST", MODELS, "/services", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.headers["Operation-Location"].rpartition("/")[2])


def operation(served: Served, operation_id: str) -> dict[str, Any]:
    """Wait until it has ended."""
    found: dict[str, Any] = {}
    until(lambda: found.update(served.call("GET", MODELS, f"/operations/{operation_id}").json()) or found["state"] != "Running")
    return found


def until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait for a condition; an AssertionError where it never holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.05)
