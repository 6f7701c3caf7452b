"""Swagger UI on a port of this machine for any deployed endpoint: a cloud endpoint serves its swagger.json and no page.

The page, the description and what "Try it out" sends share one origin, so no endpoint needs to allow another. Requests are
forwarded with the header that the person typed under Authorize, to the operations that the description names and nowhere else.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bankmlops import client
from bankmlops.errors import BackendUnavailableError, BankMLOpsError, ConflictError
from bankmlops.scoring import asgi, docs

HOST = "127.0.0.1"
MAXIMUM_BYTES = 8 * 2**20
FORWARD_SECONDS = 60.0
_SENT = ("authorization", "content-type", "accept")
_ANSWERED = ("content-type", "x-ms-request-id", "x-ms-run-fn-exec-ms", "x-request-id", "www-authenticate")
_METHODS = ("GET", "POST")


@dataclass(frozen=True, slots=True)
class Target:
    """The endpoint behind the page."""

    name: str
    scoring_uri: str
    swagger_uri: str

    def address(self, path: str) -> str:
        """Where a path of the description is: all paths lie where the scoring path does."""
        return self.scoring_uri.removesuffix("/score").rstrip("/") + path


def serve_docs(target: Target, port: int, announce: Callable[[str], None]) -> None:
    """Serve until Ctrl-C; `announce` is called with the page's address as soon as it answers. `port` 0 takes a free one.

    Raises `ConflictError` where the port is busy, and what `client.swagger` raises where the endpoint does not describe itself.
    """
    with _listen(port) as listener:
        authority = f"{HOST}:{listener.getsockname()[1]}"
        server = _Server(_config(create_app(target, authority)), lambda: announce(f"http://{authority}/docs"))
        server.run(sockets=[listener])


def create_app(target: Target, authority: str) -> ASGIApp:
    """The application; `authority` is the host and port that a browser must have asked for. Raises as `serve_docs` does."""
    pages = _Pages(target)
    routes = [
        Route("/docs", pages.page),
        Route("/docs/initializer.js", pages.initializer),
        Route("/docs/{name}", pages.asset),
        Route("/swagger.json", pages.swagger),
        Route("/{path:path}", pages.forward, methods=list(_METHODS)),
    ]
    return _SameOrigin(Starlette(routes=routes, exception_handlers={BankMLOpsError: _answer_error}), authority)


class _Pages:
    """What the routes answer: the page's own files, the endpoint's description, and the endpoint's answers."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._document = client.swagger(target.swagger_uri)

    def page(self, request: Request) -> Response:  # noqa: ARG002
        """The page itself."""
        return _response(docs.page(self._target.name, "/docs"))

    def initializer(self, request: Request) -> Response:  # noqa: ARG002
        """The script that names the description."""
        return _response(docs.initializer("/swagger.json"))

    def asset(self, request: Request) -> Response:
        """One file of Swagger UI."""
        return _response(docs.asset(request.path_params["name"]))

    def swagger(self, request: Request) -> Response:  # noqa: ARG002
        """The endpoint's description as it is now, without a host: what a browser tries goes where the page came from."""
        self._document = client.swagger(self._target.swagger_uri)
        local = {name: value for name, value in self._document.items() if name not in ("host", "basePath")}
        return JSONResponse({**local, "schemes": ["http"]})

    async def forward(self, request: Request) -> Response:
        """Send one operation of the description to the endpoint, and its answer back."""
        path = "/" + request.path_params["path"]
        described = self._document["paths"].get(path)
        if not isinstance(described, dict) or request.method.lower() not in described:
            raise HTTPException(404)
        return await self._send(request, self._target.address(path))

    async def _send(self, request: Request, url: str) -> Response:
        body = await _body(request)
        headers = {name: request.headers[name] for name in _SENT if name in request.headers}
        try:
            with client.translated(url):
                async with asyncio.timeout(FORWARD_SECONDS):
                    return await _forwarded(request.method, url, headers, body)
        except TimeoutError:
            raise BackendUnavailableError(f"{url} did not answer within {FORWARD_SECONDS:.0f} s") from None


async def _forwarded(method: str, url: str, headers: dict[str, str], body: bytes) -> Response:
    async with (
        httpx.AsyncClient(timeout=FORWARD_SECONDS, **client.session_options(url)) as session,
        session.stream(method, url, content=body, headers=headers) as answer,
    ):
        content = bytearray()
        async for chunk in answer.aiter_bytes():
            content += chunk
            if len(content) > MAXIMUM_BYTES:
                raise BackendUnavailableError(f"{url} answered more than {MAXIMUM_BYTES:,} bytes")
    kept = {name: answer.headers[name] for name in _ANSWERED if name in answer.headers}
    return Response(bytes(content), answer.status_code, {**kept, "x-content-type-options": "nosniff"})


class _SameOrigin:
    """Refuses a page of another origin, and a name of another host that was made to lead here (DNS rebinding)."""

    def __init__(self, app: ASGIApp, authority: str) -> None:
        self._app = app
        self._authority = authority.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        own = headers.get(b"host") == self._authority
        origin = headers.get(b"origin")
        if own and origin in (None, b"http://" + self._authority):
            await self._app(scope, receive, send)
        else:
            await JSONResponse({"status_code": 403, "message": "this page serves its own origin alone"}, 403)(
                scope, receive, send
            )


class _Server(uvicorn.Server):
    """A uvicorn server that tells when it listens."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening()


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=64,
        timeout_graceful_shutdown=1,
    )


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise ConflictError(f"port {port} can't be listened on: {reason}; another --port, or 0, would serve") from error
    return listener


async def _body(request: Request) -> bytes:
    content = bytearray()
    try:
        async for chunk in request.stream():
            content += chunk
            if len(content) > MAXIMUM_BYTES:
                raise HTTPException(413, f"the body is larger than {MAXIMUM_BYTES:,} bytes")
    except ClientDisconnect:
        raise HTTPException(400) from None
    return bytes(content)


def _response(response: asgi.Response) -> Response:
    headers = {name.decode(): value.decode() for name, value in response.headers}
    return Response(response.body, response.status, headers)


async def _answer_error(request: Request, error: Exception) -> Response:
    """The endpoint is what can't be reached: a gateway's error, in the shape of the endpoint's own."""
    sys.stderr.write(f"{request.method} {request.url.path}: {error}\n")
    return JSONResponse({"status_code": 502, "message": str(error)}, 502)
