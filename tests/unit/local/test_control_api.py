"""The REST face of the control server, on the real engine: codes, bodies, and refusals in one line."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from bankmlops.errors import ConflictError
from bankmlops.local.control.audit import AuditLog
from bankmlops.local.control.files import ControlFiles
from bankmlops.local.control.room import ControlRoom
from bankmlops.local.pipelines.documents import from_document, to_document
from bankmlops.local.pipelines.endpoints import PipelineEndpoints
from bankmlops.local.pipelines.engine import PipelineEngine
from bankmlops.local.pipelines.requests import RunRequest
from bankmlops.local.pipelines.store import PipelineStore
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.pipelines import graph_of
from bankmlops.runs import wait
from bankmlops.types import PipelineRun, RunStatus
from support.trainer import CONFIG, PIPELINE, Trainer, launched

pytestmark = pytest.mark.slow
_JSON = {"Content-Type": "application/json"}
MISSING = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Server:
    """The application, called without a socket."""

    app: ASGIApp
    workspace: LocalWorkspace
    engine: PipelineEngine

    @property
    def store(self) -> PipelineStore:
        return PipelineStore(self.workspace)

    def __call__(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> httpx.Response:
        async def sent() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
            authorized = {"Authorization": f"Bearer {ControlFiles(self.workspace).token()}", **(headers or {})}
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                if isinstance(body, bytes):
                    return await client.request(method, path, content=body, headers={**authorized, **_JSON})
                return await client.request(method, path, json=body, headers=authorized)

        return asyncio.run(sent())

    def end(self, run_id: str) -> PipelineRun:
        return wait(self.engine.read, run_id, timeout_seconds=60, poll_seconds=0.1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("api")
    workspace = LocalWorkspace(folder / "workspace")
    with launched(folder / "dbos.sqlite", Trainer()) as engine:
        yield Server(ControlRoom(workspace, engine).app, workspace, engine)


@pytest.fixture(scope="module")
def submit(server: Server) -> str:
    """The path that triggers a published pipeline."""
    return f"/pipelines/{server.store.publish(CONFIG, '1', '').id}/submit"


def _error(answer: httpx.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    assert set(answer.json()) == {"error"}
    assert set(error) == {"code", "message"}
    assert "\n" not in error["message"]
    return answer.status_code, error["code"]


def test_trigger(server: Server, submit: str) -> None:
    """A trigger answers the run's id in Azure's words; the run belongs to its experiment, and bears the tags."""
    answer = server("POST", submit, {"ExperimentName": "nightly", "Tags": {"reason": "new data"}, "RunSource": "SDK"})
    document = answer.json()
    assert answer.status_code == 200
    assert (document["ExperimentName"], document["PipelineId"]) == ("nightly", submit.split("/")[2])
    run = server.end(document["Id"])
    assert (run.status, run.experiment_name) == (RunStatus.COMPLETED, "nightly")
    assert from_document(PipelineRun, server("GET", document["RunUrl"]).json()) == run
    assert document["Id"] in [found["id"] for found in server("GET", "/runs").json()]


def test_the_experiment_is_optional(server: Server, submit: str) -> None:
    """Without a name the experiment is the pipeline's own."""
    assert server("POST", submit, {}).json()["ExperimentName"] == CONFIG.automl.experiment_name


def test_an_idempotency_key(server: Server, submit: str) -> None:
    """The same key is the same run; with another request it is refused."""
    key = {"Idempotency-Key": str(uuid.uuid4())}
    first = server("POST", submit, {"ExperimentName": "one"}, key).json()["Id"]
    assert server("POST", submit, {"ExperimentName": "one"}, key).json()["Id"] == first
    assert _error(server("POST", submit, {"ExperimentName": "two"}, key)) == (409, "Conflict")
    assert _error(server("POST", submit, {}, {"Idempotency-Key": "a b"})) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"ExperimentName": ""}, "ExperimentName"),
        ({"ExperimentName": 7}, "ExperimentName"),
        ({"ExperimentName": "a\nb"}, "ExperimentName"),
        ({"ExperimentName": "x" * 256}, "ExperimentName"),
        ({"ParameterAssignments": {"rate": 1}}, "rate"),
        ({"ParameterAssignments": {"rate": [1]}}, "rate"),
        ({"ParameterAssignments": {"rate": "x" * 1001}}, "rate"),
        ({"Tags": {"a": 1}}, "Tags"),
        ({"ExperimentName": "x", "Script": "import os"}, "Script"),
        ([], "body"),
        ("text", "body"),
    ],
)
def test_a_bad_body(server: Server, submit: str, body: object, field: str) -> None:
    """A body that can't serve is one line that names the field."""
    answer = server("POST", submit, body)
    assert _error(answer) == (400, "BadRequest")
    assert field in answer.json()["error"]["message"]


@pytest.mark.parametrize("content", [b"[" * 60_000, b'{"ExperimentName": ' + b"9" * 5000 + b"}"])
def test_a_body_that_python_can_not_read(server: Server, submit: str, content: bytes) -> None:
    """JSON that is nested too deep, or has a number of too many digits, is refused as that."""
    answer = server("POST", submit, content)
    assert _error(answer) == (400, "BadRequest")
    assert "nested too deep, or a number too long" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("status", "code"), [(400, "BadRequest"), (413, "RequestTooLarge"), (418, "BadRequest"), (503, "InternalError")]
)
def test_what_the_framework_refuses(server: Server, submit: str, monkeypatch: pytest.MonkeyPatch, status: int, code: str) -> None:
    """Its own status and reason are what the caller is told."""

    def refuse(*_arguments: object) -> Any:
        raise HTTPException(status, "for a reason")

    monkeypatch.setattr(server.engine, "start", refuse)
    answer = server("POST", submit, {})
    assert _error(answer) == (status, code)
    assert answer.json()["error"]["message"] == "for a reason"


def test_not_there(server: Server) -> None:
    """An unknown pipeline, run or path is 404; a method that is not served is 405."""
    for method, path in (
        ("POST", f"/pipelines/{MISSING}/submit"),
        ("POST", f"/pipeline-endpoints/{MISSING}/submit"),
        ("GET", f"/runs/{MISSING}"),
        ("POST", f"/runs/{MISSING}/cancel"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
    ):
        assert _error(server(method, path, {})) == (404, "NotFound"), path
    assert _error(server("DELETE", "/runs")) == (405, "MethodNotAllowed")


def test_a_disabled_pipeline(server: Server) -> None:
    """A disabled pipeline is not run."""
    stored = server.store.publish(CONFIG, "2", "")
    server.store.disable(stored.id)
    assert _error(server("POST", f"/pipelines/{stored.id}/submit", {})) == (409, "Conflict")


def test_a_pipeline_endpoint(server: Server) -> None:
    """An endpoint runs its default or the version asked for; a repeated key is the same run, though the default was moved."""
    one, two = (server.store.publish(replace(CONFIG, minimum_score=score), f"e{score}", "").id for score in (0.1, 0.2))
    endpoints, key = PipelineEndpoints(server.workspace), {"Idempotency-Key": "once"}
    endpoint_id = endpoints.create("retraining", one).id
    path = f"/pipeline-endpoints/{endpoint_id}/submit"
    first = server("POST", path, {}, key).json()
    endpoints.set_default(endpoint_id, two)
    assert server("POST", path, {}, key).json()["Id"] == first["Id"]
    chosen = [
        server("POST", f"{path}{query}", {}).json()["PipelineId"] for query in ("", "?pipelineVersion=0", "?pipelineVersion=1")
    ]
    assert (first["PipelineId"], chosen) == (one, [two, one, two])
    assert _error(server("POST", f"{path}?pipelineVersion=7", {})) == (404, "NotFound")
    assert server("GET", f"/pipeline-endpoints/{endpoint_id}").json()["default_version"] == "1"
    assert [each["name"] for each in server("GET", "/pipeline-endpoints").json()] == ["retraining"]
    endpoints.disable(endpoint_id)
    assert _error(server("POST", path, {})) == (409, "Conflict")


def test_who_asked_is_written_down(server: Server, submit: str) -> None:
    """A trigger and its refusal are in the audit log, with who asked from where, and for what."""
    run_id = server("POST", submit, {}, {"User-Agent": "nightly/1"}).json()["Id"]
    entry = AuditLog(server.workspace).newest(1)[0]
    assert (entry.actor, entry.action, entry.detail) == ("workspace token", "trigger", f"run {run_id}")
    assert entry.subject == f"pipeline {submit.split('/')[2]}"
    assert entry.origin.startswith("http 127.0.0.1")
    assert entry.origin.endswith("nightly/1")


def test_submit_and_cancel(server: Server) -> None:
    """A pipeline that is not published is run from its whole description; a finished run can be canceled, and stays."""
    run_id = server("POST", "/runs", to_document(RunRequest(graph_of(CONFIG)))).json()["id"]
    run = server.end(run_id)
    assert run.status is RunStatus.COMPLETED
    assert from_document(PipelineRun, server("POST", f"/runs/{run_id}/cancel", {}).json()) == run
    assert _error(server("POST", "/runs", {"name": "half"})) == (400, "BadRequest")


def test_a_fault_tells_nothing(server: Server, submit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours is 500 without its reason; what can be tried again says when."""

    def fail(*_arguments: object) -> Any:
        raise KeyError("a secret path")

    def refuse(*_arguments: object) -> Any:
        raise ConflictError("taken")

    monkeypatch.setattr(server.engine, "start", fail)
    answer = server("POST", submit, {})
    assert _error(answer) == (500, "InternalError")
    assert "secret" not in answer.text
    monkeypatch.setattr(server.engine, "start", refuse)
    assert _error(server("POST", submit, {})) == (409, "Conflict")


def test_too_many_wait(server: Server, submit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd is refused with the time after which to try again."""
    monkeypatch.setattr("bankmlops.local.pipelines.engine._WAITING_RUNS", 0)
    answer = server("POST", submit, {})
    assert _error(answer) == (503, "ServiceUnavailable")
    assert int(answer.headers["retry-after"]) > 0


def test_resubmit(server: Server) -> None:
    """An ended run is run again from a step, as a run of its own; one that completed wants to know from which."""
    run_id = server("POST", "/runs", to_document(RunRequest(PIPELINE))).json()["id"]
    server.end(run_id)
    assert _error(server("POST", f"/runs/{run_id}/resubmit", {})) == (400, "BadRequest")
    assert _error(server("POST", f"/runs/{run_id}/resubmit", {"step": "register"})) == (400, "BadRequest")
    again = server("POST", f"/runs/{run_id}/resubmit", {"from_step": "register"}).json()
    assert again["resubmitted_from"] == run_id
    assert [step.attempts for step in server.end(again["id"]).steps] == [0, 0, 0, 1]


def test_old_runs(server: Server, submit: str) -> None:
    """Old runs are found and deleted by their age in days, of which one is the least; that is in the audit log."""
    run_id = server("POST", submit, {}).json()["Id"]
    server.end(run_id)
    assert server("GET", "/old-runs?days=1").json() == {"run_ids": [], "bytes": 0, "kept": 0}
    assert server("POST", "/old-runs/prune", {"days": 1}).json() == {"run_ids": [], "bytes": 0, "kept": 0}
    assert server("GET", f"/runs/{run_id}").status_code == 200
    assert AuditLog(server.workspace).newest(1)[0].action == "prune"
    for method, path, body in (("GET", "/old-runs?days=0.5", None), ("POST", "/old-runs/prune", {"days": 0})):
        refused = server(method, path, body)
        assert refused.status_code == 400
        assert "days" in refused.json()["error"]["message"]
