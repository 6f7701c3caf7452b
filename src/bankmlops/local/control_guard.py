"""What stands before every request to the control server: who may call, from where, and how much they may send."""

from __future__ import annotations

import asyncio
import hmac

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAXIMUM_BODY_BYTES = 64 * 1024
_BODY_SECONDS = 30.0
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_OPEN_PATH = "/"


class Guard:
    """ASGI middleware: a loopback Host (against DNS rebinding), no foreign Origin, a bearer token, and a bounded body."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refuse(Headers(scope=scope), scope["path"])
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self._with_bounded_body(scope, receive, send)

    def _refuse(self, headers: Headers, path: str) -> JSONResponse | None:
        if not _is_loopback(headers.get("host", "")):
            return error_response(421, "MisdirectedRequest", "the Host header must name this machine: 127.0.0.1 or localhost")
        origin = headers.get("origin")
        if origin is not None and not _is_loopback(origin.partition("://")[2]):
            return error_response(403, "Forbidden", "requests from other sites are refused")
        if path != _OPEN_PATH and not self._is_authorized(headers.get("authorization", "")):
            response = error_response(401, "Unauthorized", "send the workspace's token as `Authorization: Bearer TOKEN`")
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        return None

    def _is_authorized(self, header: str) -> bool:
        return hmac.compare_digest(header.encode("latin-1", "replace"), self._expected)

    async def _with_bounded_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await asyncio.wait_for(_read_body(receive), _BODY_SECONDS)
        except TimeoutError:
            await error_response(408, "RequestTimeout", "the body did not arrive in time")(scope, receive, send)
            return
        if body is None:
            message = f"a body may have {MAXIMUM_BODY_BYTES} bytes at most"
            await error_response(413, "RequestTooLarge", message)(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)


def error_response(status: int, code: str, message: str) -> JSONResponse:
    """An error as Azure words one: `{"error": {"code", "message"}}`, the message one line."""
    return JSONResponse({"error": {"code": code, "message": message}}, status_code=status)


def _is_loopback(host: str) -> bool:
    name, separator, port = host.rpartition(":")
    if not separator or host.endswith("]"):
        name, port = host, "0"
    return name.lower() in _LOOPBACK_NAMES and port.isdecimal()


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body; None as soon as it is too large."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > MAXIMUM_BODY_BYTES:
            return None
        chunks.append(chunk)
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return b"".join(chunks)


def _replay(body: bytes, receive: Receive) -> Receive:
    pending = [body]

    async def replayed() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return replayed
