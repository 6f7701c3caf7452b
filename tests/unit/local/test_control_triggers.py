"""Triggers of a started control server, many at once and while it stops: each is accepted once or refused, and none is lost."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from bankmlops.local.backend import LocalBackend
from bankmlops.local.control.audit import AuditLog
from bankmlops.local.control.files import ControlFiles
from bankmlops.local.control.tokens import ControlTokens
from bankmlops.local.pipelines.pipelines import Pipelines
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.pipelines import Parameter, Pipeline, Step
from bankmlops.types import DataSource, NewDatasetVersion, PublishedPipeline, ScheduleConfig, TokenScope

pytestmark = pytest.mark.slow
AT_ONCE = 200
REFUSALS = (429, 503)


@dataclass(frozen=True)
class World:
    """A workspace with a control server that runs, and a published pipeline that looks at a table and does no more."""

    backend: LocalBackend
    workspace: LocalWorkspace
    pipeline: PublishedPipeline
    folder: Path

    @property
    def owner(self) -> dict[str, str]:
        return dict(self.backend.authorization_header())

    def bearer(self, scope: TokenScope) -> dict[str, str]:
        """The header of a new token, which has a rate of its own."""
        secret = ControlTokens(self.workspace).create(f"test-{uuid.uuid4()}", scope).secret
        return {"Authorization": f"Bearer {secret}"}

    def client(self, header: Mapping[str, str]) -> httpx.Client:
        return httpx.Client(headers=header, base_url=Pipelines(self.workspace).status().url, trust_env=False, timeout=60)

    def submit(self, header: Mapping[str, str], key: str = "", body: object = None) -> httpx.Response:
        """A trigger by a connection of its own."""
        with self.client(header) as client:
            return client.post(self.pipeline.endpoint, json=body or {}, headers={"Idempotency-Key": key} if key else {})

    def process(self) -> psutil.Process:
        return psutil.Process(Pipelines(self.workspace).status().pid)

    def recorded_runs(self) -> set[str]:
        """The ids that the engine has in its database."""
        path = ControlFiles(self.workspace).system_database
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
            return {str(row[0]) for row in connection.execute("SELECT workflow_uuid FROM workflow_status")}

    def register(self, rows: int) -> str:
        lines = "".join(f"{20 + number % 50},{('no', 'yes')[number % 3 > 1]}\n" for number in range(rows))
        (self.folder / "bank.csv").write_text("age,y\n" + lines)
        return self.backend.register_dataset("bank", DataSource(self.folder / "bank.csv", synthetic=True), "y").version


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("triggers")
    workspace = LocalWorkspace(folder / "workspace")
    backend = LocalBackend(workspace.folder)
    look = Step("prepare", "prepare", {"dataset": "${{ parameters.dataset }}"})
    pipeline = Pipeline("look", (look,), (Parameter("dataset", default="bank"),))
    made = World(backend, workspace, backend.publish_pipeline(pipeline, "1"), folder)
    made.register(60)
    backend.up()
    yield made
    backend.down()


def _until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_two_at_once(world: World) -> None:
    """Two triggers at once with one key are one run, and both are told which."""
    key = str(uuid.uuid4())
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda _: world.submit(world.owner, key), range(2)))
    assert [answer.status_code for answer in answers] == [200, 200]
    assert len({answer.json()["Id"] for answer in answers}) == 1


def test_parameters_are_typed(world: World) -> None:
    """A declared parameter is taken; another, or one of another type, is refused by its name."""
    header = world.bearer(TokenScope.TRIGGER)
    assert world.submit(header, body={"ParameterAssignments": {"dataset": "bank"}}).status_code == 200
    for assignments, named in (({"rate": 1}, "rate"), ({"dataset": True}, "dataset"), ({"dataset": {"path": "/etc"}}, "dataset")):
        refused = world.submit(header, body={"ParameterAssignments": assignments})
        assert refused.status_code == 400
        assert named in refused.json()["error"]["message"]


def test_a_token_is_revoked_on_a_running_server(world: World) -> None:
    """A token opens at once when it is made, and nothing from the moment on at which it is revoked."""
    made = ControlTokens(world.workspace).create("revoked", TokenScope.TRIGGER)
    header = {"Authorization": f"Bearer {made.secret}"}
    assert world.submit(header).status_code == 200
    ControlTokens(world.workspace).revoke("revoked")
    assert world.submit(header).status_code == 401
    log = ControlFiles(world.workspace).log.read_text()
    assert made.secret not in log
    entries = AuditLog(world.workspace).newest(10)
    assert [entry.action for entry in entries if entry.actor == "token revoked"] == ["trigger"]


def test_a_page_can_not_trigger_a_run(world: World) -> None:
    """Neither a name that leads here, nor a form of another site, nor its cookie starts a run."""
    attempts: Sequence[dict[str, str]] = (
        {**world.owner, "Host": "evil.example"},
        {"Content-Type": "text/plain", "Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {**world.owner, "Content-Type": "text/plain"},
        {**world.owner, "Origin": "https://evil.example"},
    )
    before = len(AuditLog(world.workspace).newest(1000))
    with world.client({}) as client:
        codes = [client.post(world.pipeline.endpoint, content=b"{}", headers=attempt).status_code for attempt in attempts]
        cookie = client.post("/session", headers=world.owner).headers["set-cookie"].partition(";")[0]
        forged = {"Cookie": cookie, "Origin": "http://127.0.0.1:1", "Content-Type": "application/json"}
        codes.append(client.post(world.pipeline.endpoint, content=b"{}", headers=forged).status_code)
    assert codes == [421, 403, 415, 403, 401]
    assert len(AuditLog(world.workspace).newest(1000)) == before


def test_a_schedule_fires_once(world: World) -> None:
    """A schedule that waits for data starts one run for each version, though the server is killed at any moment of it."""
    made = world.backend.schedule_pipeline(ScheduleConfig("on-data", world.pipeline.id, NewDatasetVersion("bank", "dataset")))
    first = world.register(90)
    _until(lambda: bool(world.backend.get_schedule(made.id).last_run_id))
    run_id = world.backend.get_schedule(made.id).last_run_id
    second = world.register(120)
    time.sleep(random.uniform(0, 1.5))
    world.process().kill()
    world.backend.up()
    _until(lambda: world.backend.get_schedule(made.id).last_run_id != run_id)
    runs = [run for run in world.backend.list_pipeline_runs() if run.run_source == "schedule on-data"]
    assert [run.parameters["dataset"] for run in runs] == [f"bank:{second}", f"bank:{first}"]
    entries = [entry for entry in AuditLog(world.workspace).newest(100) if entry.actor == "schedule on-data"]
    assert {entry.detail for entry in entries} == {f"run {run.id}" for run in runs}
    with world.client(world.owner) as client:
        assert [each["config"]["name"] for each in client.get("/schedules").json()] == ["on-data"]
        assert client.post(f"/schedules/{made.id}/pause").json()["status"] == "Paused"


def test_a_trigger_while_the_server_stops(world: World) -> None:
    """While the server stops a trigger is accepted for good, or refused: what was accepted is there after the next start."""
    header, keys = world.bearer(TokenScope.TRIGGER), [f"stop-{number}" for number in range(24)]
    answers: dict[str, httpx.Response | None] = {}
    begun = threading.Event()

    def submit(key: str) -> None:
        try:
            answers[key] = world.submit(header, key)
            begun.set()
        except httpx.HTTPError:
            answers[key] = None

    process = world.process()
    with ThreadPoolExecutor(8) as threads:
        sent = threads.map(submit, keys)
        assert begun.wait(60)
        process.send_signal(signal.SIGTERM)
        list(sent)
    psutil.wait_procs([process], timeout=30)
    assert not process.is_running()
    accepted = {key: answer.json()["Id"] for key, answer in answers.items() if answer is not None and answer.status_code == 200}
    refused = [answer for answer in answers.values() if answer is not None and answer.status_code != 200]
    assert accepted
    assert len(accepted) < len(keys)
    assert all(answer.status_code in REFUSALS and int(answer.headers["retry-after"]) > 0 for answer in refused)
    world.backend.up()
    assert set(accepted.values()) <= world.recorded_runs()
    some = [*list(accepted)[:2], *(key for key in keys if key not in accepted)]
    again = {key: world.submit(header, key).json()["Id"] for key in some}
    assert all(accepted.get(key, run_id) == run_id for key, run_id in again.items())
    assert len({*accepted.values(), *again.values()}) == len(keys)


def test_many_at_once(world: World) -> None:
    """Of 200 triggers at once each is accepted as a run of its own, or told when to come again, and then it is."""
    header = world.bearer(TokenScope.TRIGGER)
    keys = [f"many-{number}" for number in range(AT_ONCE)]
    first = asyncio.run(_submit_at_once(world, header, keys))
    assert {answer.status_code for answer in first.values()} <= {200, *REFUSALS}
    refused = [key for key, answer in first.items() if answer.status_code != 200]
    assert all(int(first[key].headers["retry-after"]) > 0 for key in refused)
    accepted = {key: answer.json()["Id"] for key, answer in first.items() if answer.status_code == 200}
    assert len(accepted) >= AT_ONCE // 2
    for key in refused:
        _until(lambda key=key: key in accepted or _is_accepted(world, header, key, accepted))
    assert len(set(accepted.values())) == AT_ONCE
    assert set(accepted.values()) <= world.recorded_runs()


def _is_accepted(world: World, header: Mapping[str, str], key: str, accepted: dict[str, str]) -> bool:
    """Ask again, when the refusal says so; what is accepted is written down."""
    answer = world.submit(header, key)
    if answer.status_code == 200:
        accepted[key] = answer.json()["Id"]
        return True
    assert answer.status_code in REFUSALS
    time.sleep(min(int(answer.headers["retry-after"]), 5))
    return False


async def _submit_at_once(world: World, header: Mapping[str, str], keys: Sequence[str]) -> dict[str, httpx.Response]:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(headers=header, trust_env=False, timeout=120, limits=limits) as client:
        sent = [client.post(world.pipeline.endpoint, json={}, headers={"Idempotency-Key": key}) for key in keys]
        return dict(zip(keys, await asyncio.gather(*sent), strict=True))


def test_a_connection_that_says_nothing(world: World) -> None:
    """Clients that hold their connections open, and send their heads a byte at a time, keep nobody else out."""
    port = int(Pipelines(world.workspace).status().url.rpartition(":")[2])
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
    try:
        for connection in idle:
            connection.sendall(b"GET / HT")
        with world.client({}) as client:
            assert client.get("/").text == "Healthy"
    finally:
        for connection in idle:
            connection.close()
