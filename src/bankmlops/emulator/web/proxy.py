"""The proxy that leads Azure's names to the emulator. It tunnels (CONNECT) and looks into nothing; all else goes on as before."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from bankmlops.emulator.web.upstream import MAX_HEAD_BYTES, Streams, Upstream
from bankmlops.errors import BackendUnavailableError

HEAD_SECONDS = 10.0
IDLE_SECONDS = 900.0
MAX_TUNNELS = 512
# Where the SDK and its native reader send telemetry: refused at once, or each would wait for a network that may not be there.
TELEMETRY = re.compile(
    r"(dc|rt|live)\.services\.visualstudio\.com|dc\.applicationinsights\.(azure|microsoft)\.com"
    r"|[a-z0-9.-]+\.(applicationinsights|livediagnostics\.monitor)\.azure\.com|[a-z0-9.-]+\.events\.data\.microsoft\.com"
    r"|vortex\.data\.microsoft\.com"
)
_REQUEST = re.compile(r"CONNECT (\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253}):(\d{1,5}) HTTP/1\.[01]\Z")
_CHUNK = 1 << 16


class RefusedError(Exception):
    """An answer instead of a tunnel: a status line's code and reason."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """`is_ours` tells by its name whether a host is emulated; those go to `https_port` of this machine."""

    https_port: int
    is_ours: Callable[[str], bool]
    upstream: Upstream

    async def serve(self, listener: socket.socket) -> asyncio.Server:
        """Begin to serve on the bound socket."""
        tunnels = asyncio.Semaphore(MAX_TUNNELS)

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError, asyncio.CancelledError):
                await self._handle((reader, writer), tunnels)
            writer.close()

        return await asyncio.start_server(handle, sock=listener, limit=MAX_HEAD_BYTES)

    async def _handle(self, client: Streams, tunnels: asyncio.Semaphore) -> None:
        try:
            if tunnels.locked():
                raise RefusedError(503, f"the emulator's proxy has {MAX_TUNNELS} tunnels open")
            async with tunnels:
                host, port = await _read_request(client[0])
                server = await self._connect(host, port)
                await _tunnel(client, server)
        except RefusedError as refusal:
            await _answer(client[1], *refusal.args)

    async def _connect(self, host: str, port: int) -> Streams:
        if port == 443 and self.is_ours(host):
            return await asyncio.open_connection("127.0.0.1", self.https_port)
        if TELEMETRY.fullmatch(host):
            raise RefusedError(403, "telemetry does not leave the emulator")
        try:
            return await self.upstream.connect(host, port)
        except BackendUnavailableError as error:
            raise RefusedError(502, str(error)) from error


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, int]:
    try:
        async with asyncio.timeout(HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
    except TimeoutError as error:
        raise RefusedError(408, "no request arrived in time") from error
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise RefusedError(400, "the request is not whole, or too long") from error
    line = head.split(b"\r\n", 1)[0].decode("latin-1")
    found = _REQUEST.match(line)
    if found is None or not 0 < int(found[2]) < 65_536:
        raise RefusedError(405, "this proxy takes CONNECT host:port alone; set it as HTTPS_PROXY, not as HTTP_PROXY")
    return found[1].strip("[]").lower(), int(found[2])


async def _answer(writer: asyncio.StreamWriter, status: int, reason: str) -> None:
    body = f"{reason}\n".encode()
    reason_line = reason.encode("ascii", "replace").decode().replace("\r", " ").replace("\n", " ")[:200]
    head = (
        f"HTTP/1.1 {status} {reason_line}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()


async def _tunnel(client: Streams, server: Streams) -> None:
    """Carry bytes both ways until both sides are done, or nothing moves for `IDLE_SECONDS`."""
    try:
        client[1].write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await client[1].drain()
        async with asyncio.TaskGroup() as group:
            group.create_task(_carry(client[0], server[1]))
            group.create_task(_carry(server[0], client[1]))
    except* (OSError, TimeoutError):
        pass  # one side broke off: the other is told by the close below
    finally:
        server[1].close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        async with asyncio.timeout(IDLE_SECONDS):
            chunk = await reader.read(_CHUNK)
        if not chunk:
            break
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
