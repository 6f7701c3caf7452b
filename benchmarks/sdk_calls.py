"""What the SDK asks the emulator for in one small session: the calls of a run with metrics, an artifact, a model and a compute.

The bodies are the SDK's own as far as the emulator reads them; each session has a run of its own, so that the state grows as it
does in use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import raw_client

FILE_BYTES = 4096
_LOCATION = {"location": "westeurope", "properties": {"computeType": "AmlCompute", "properties": {"vmSize": "STANDARD_D2_V2"}}}


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where the calls go: ARM id, workspace id, storage account; and the secrets, which no repr shows: tokens for ARM and for the
    storage, and the managed identity's."""

    path: str
    id: str
    account: str
    token: str = field(repr=False)
    storage_token: str = field(repr=False)
    identity: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A request and the name of its kind."""

    name: str
    content: bytes = field(repr=False)


def session(workspace: Workspace, number: int) -> Sequence[Call]:
    """The calls of session `number`, in the order in which the SDK makes them."""
    run, history = f"bench-{number}", f"/history/v1.0{workspace.path}/experiments/bench"
    metric, artifact = f"/metric/v2.0{workspace.path}/runs/{run}", f"/artifact/v2.0{workspace.path}/artifacts"
    models, stores = f"/modelmanagement/v1.0{workspace.path}", f"/datastore/v1.0{workspace.path}"
    calls = _Calls(workspace)
    calls.identity()
    calls.add("workspace", "GET", workspace.path)
    calls.add("discovery", "GET", f"/discovery/workspaces/{workspace.id}")
    calls.add("experiment", "POST", history, {})
    calls.add("run: create", "PATCH", f"{history}/runs/{run}", {"runId": run, "tags": {"session": str(number)}})
    calls.add("run: event", "POST", f"{history}/runs/{run}/events", _event("Start"))
    for step in range(3):
        calls.add("metrics: log", "POST", f"{metric}/batch", _series(step))
    calls.add("artifact: write", "POST", f"{artifact}/content/ExperimentRun/dcid.{run}/outputs/file.txt", b"x" * FILE_BYTES)
    calls.add("artifacts: list", "GET", f"{artifact}/ExperimentRun/dcid.{run}")
    calls.add("run: read", "GET", f"{history}/runs/{run}")
    calls.add("run: details", "GET", f"{history}/runs/{run}/details")
    calls.add("runs: query", "POST", f"{history}/runs:query", {"top": 20})
    calls.add("run: children", "GET", f"{history}/runs/{run}/children")
    calls.add("metrics: read", "POST", f"{metric}/full", {"metricName": "accuracy"})
    calls.add("model: register", "POST", f"{models}/models", {"name": f"bench-{number % 20}", "url": "aml://asset/1"})
    calls.add("models: list", "GET", f"{models}/models?name=bench-{number % 20}")
    calls.add("services: list", "GET", f"{models}/services")
    calls.add("datastore", "GET", f"{stores}/default")
    calls.add("compute: write", "PUT", f"{workspace.path}/computes/bench", _LOCATION)
    calls.add("compute: read", "GET", f"{workspace.path}/computes/bench")
    calls.blob("blob: write", "PUT", f"/bench/{number}.bin", b"x" * FILE_BYTES)
    calls.blob("blob: read", "GET", f"/bench/{number}.bin")
    calls.blob("blobs: list", "GET", f"/bench?restype=container&comp=list&prefix={number}")
    calls.add("run: event", "POST", f"{history}/runs/{run}/events", _event("Completed"))
    return calls.made


class _Calls:
    def __init__(self, workspace: Workspace) -> None:
        self.made: list[Call] = []
        self._workspace = workspace

    def add(self, name: str, method: str, path: str, body: object = b"") -> None:
        """A call with a bearer token."""
        self._add(name, method, path, {"Authorization": f"Bearer {self._workspace.token}"}, body)

    def blob(self, name: str, method: str, path: str, body: object = b"") -> None:
        """The same under the storage account's own host name."""
        host = f"{self._workspace.account}.blob.core.windows.net"
        self._add(name, method, path, {"Authorization": f"Bearer {self._workspace.storage_token}", "Host": host}, body)

    def identity(self) -> None:
        """A token of the managed identity."""
        path = f"/msi/{self._workspace.identity}/token?resource=https://management.azure.com/"
        self._add("token", "GET", path, {}, b"")

    def _add(self, name: str, method: str, path: str, headers: Mapping[str, str], body: object) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = {} if isinstance(body, bytes) else {"Content-Type": "application/json"}
        self.made.append(Call(name, raw_client.request(method, path, {**headers, **kind}, content)))


def _event(name: str) -> dict[str, object]:
    return {"name": f"Microsoft.MachineLearning.Run.{name}", "data": {}}


def _series(step: int) -> dict[str, object]:
    cell = {"metricId": "m", "data": {"accuracy": step / 10}}
    return {"values": [{"name": "accuracy", "columns": {"accuracy": "Double"}, "value": [cell]}]}
