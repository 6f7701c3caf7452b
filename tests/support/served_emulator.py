"""A client of an emulator that serves, with a workspace of its own."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

import httpx

from bankmlops.emulator.instance import Emulator, WorkspaceState
from bankmlops.emulator.web import tokens


@dataclass
class Served:
    """The emulator, and a client of its HTTP port; each has a workspace of its own."""

    emulator: Emulator
    client: httpx.Client
    name: str = field(default_factory=lambda: f"ws-{uuid.uuid4().hex[:8]}")

    @property
    def workspace(self) -> WorkspaceState:
        return self.emulator.workspace("sub", "group", self.name)

    @property
    def authorization(self) -> dict[str, str]:
        return self.bearing("https://management.azure.com/")

    def bearing(self, audience: str) -> dict[str, str]:
        """The header with a token for this audience."""
        return {"Authorization": f"Bearer {tokens.issue(self.emulator, audience)}"}

    def call(self, method: str, service: str, path: str, **options: object) -> httpx.Response:
        """A call of a workspace's service: `service` such as "/dataset/v1.0", `path` behind the workspace."""
        return self.client.request(method, f"{service}{self.workspace.path}{path}", headers=self.authorization, **options)

    def blob(self, method: str, path: str, headers: dict[str, str] | None = None, **options: object) -> httpx.Response:
        """A call of the workspace's blob storage, by its host name, with a bearer token unless other credentials are given."""
        host = {"Host": f"{self.workspace.account}.blob.core.windows.net"}
        token = self.bearing("https://storage.azure.com/")
        return self.client.request(method, path, headers={**token, **host, **(headers or {})}, **options)
