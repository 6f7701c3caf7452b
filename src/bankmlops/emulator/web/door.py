"""The one way in: who may knock (Host, Origin), what is asked for a fault instead, and which application answers which host."""

from __future__ import annotations

import asyncio
import re

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from bankmlops.emulator.instance import AZURE_HOSTS, BLOB_SUFFIX, Emulator
from bankmlops.emulator.web.errors import azure_error
from bankmlops.emulator.web.faults import Fault

_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost"})
_CASELESS_SEGMENTS = (
    (re.compile(r"/resourcegroups/", re.IGNORECASE), "/resourceGroups/"),
    (re.compile(r"/microsoft\.machinelearningservices/", re.IGNORECASE), "/Microsoft.MachineLearningServices/"),
)


class Door:
    """ASGI: passes a request to the services or to the storage by its Host, or turns it away."""

    def __init__(self, emulator: Emulator, services: ASGIApp, storage: ASGIApp) -> None:
        self.emulator = emulator
        self.services = services
        self.storage = storage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.services(scope, receive, send)
            return
        host = _header(scope, b"host").rsplit(":", 1)[0].lower()
        is_storage = host.endswith(BLOB_SUFFIX)
        refusal = self._refuse(scope, host) or await self._fault(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
        elif is_storage:
            await self.storage({**scope, "storage_account": host.removesuffix(BLOB_SUFFIX)}, receive, send)
        else:
            await self.services(_with_plain_path(scope), receive, send)

    def _refuse(self, scope: Scope, host: str) -> Response | None:
        if host not in _LOOPBACK_HOSTS | AZURE_HOSTS and not host.endswith(BLOB_SUFFIX):
            return azure_error(403, "Forbidden", f"the emulator does not answer for the host {host[:200]!r}")
        origin = _header(scope, b"origin")
        if origin and origin != self.emulator.base_url:
            return azure_error(403, "Forbidden", "the emulator does not answer to web pages of another origin")
        return None

    async def _fault(self, scope: Scope) -> Response | None:
        if scope["path"].startswith("/emulator/"):
            return None
        fault: Fault | None = self.emulator.faults.take(f"{scope['method']} {scope['path']}")
        if fault is None:
            return None
        await asyncio.sleep(fault.delay)
        if not fault.status:
            return None
        return azure_error(fault.status, "InjectedFault", f"a fault that was asked for on {fault.route}")


def _with_plain_path(scope: Scope) -> Scope:
    # The SDK writes `//subscriptions` now and then, and its native reader lower-cases segments in which ARM ignores the case.
    path = re.sub("//+", "/", scope["path"])
    for pattern, name in _CASELESS_SEGMENTS:
        path = pattern.sub(name, path)
    return {**scope, "path": path, "raw_path": path.encode()}


def _header(scope: Scope, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return ""
