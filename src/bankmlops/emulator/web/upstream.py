"""Where what is not Azure's goes: straight to its host, or through the proxy that the user's environment names, as before."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from bankmlops.emulator.web.proxy_settings import bypasses, original_exceptions, original_proxy
from bankmlops.errors import BackendUnavailableError

CONNECT_SECONDS = 20.0
MAX_HEAD_BYTES = 16_384
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Upstream:
    """The user's own proxy (empty: none), and the hosts that go past it."""

    proxy: str = field(default="", repr=False)
    exceptions: tuple[str, ...] = ()

    async def connect(self, host: str, port: int) -> Streams:
        """A connection to that host. Raises `BackendUnavailableError` with the reason where there is none."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                if not self.proxy or bypasses(host, self.exceptions):
                    return await asyncio.open_connection(host, port)
                return await self._through_proxy(host, port)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise BackendUnavailableError(f"{host}:{port} can't be reached: {str(error) or 'no answer in time'}") from error

    async def _through_proxy(self, host: str, port: int) -> Streams:
        parts = urlsplit(self.proxy if "://" in self.proxy else f"http://{self.proxy}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BackendUnavailableError(f"{host}:{port} can't be reached: a proxy of kind {parts.scheme!r} is not understood")
        context = ssl.create_default_context() if parts.scheme == "https" else None
        default_port = 443 if context else 80
        reader, writer = await asyncio.open_connection(
            parts.hostname, parts.port or default_port, ssl=context, limit=MAX_HEAD_BYTES
        )
        try:
            writer.write(_connect_request(host, port, parts.username, parts.password))
            head = await reader.readuntil(b"\r\n\r\n")
            status = head.split(b" ", 2)[1:2]
            if not status or not status[0].startswith(b"2"):
                line = head.split(b"\r\n", 1)[0].decode("latin-1")
                raise BackendUnavailableError(f"{host}:{port} can't be reached: the proxy answers {line!r}")
        except BaseException:
            writer.close()
            raise
        return reader, writer


def find_upstream(environ: Mapping[str, str]) -> Upstream:
    """What the environment says; where an emulator's variables are set, what it said before them."""
    return Upstream(original_proxy(environ), tuple(filter(None, original_exceptions(environ).replace(" ", "").split(","))))


def _connect_request(host: str, port: int, username: str | None, password: str | None) -> bytes:
    lines = [f"CONNECT {host}:{port} HTTP/1.1", f"Host: {host}:{port}"]
    if username:
        credentials = base64.b64encode(f"{unquote(username)}:{unquote(password or '')}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {credentials}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
