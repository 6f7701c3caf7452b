"""What stands before every request to the control server: who may call, from where, how often, and how much they may send.

A request passes these in turn: a Host that names this machine (against DNS rebinding), no foreign Origin and no cross-site fetch
(against CSRF), a caller (a bearer token, or the cookie of a browser's session), the caller's rate, the scope that the path wants,
room for one more request, and a JSON body of bounded size that arrives in time.

A cookie opens less than a token, since a browser adds it by itself: what it changes must come from a page of this very server, as
the Origin header tells, and what it reads must not come from elsewhere, as Sec-Fetch-Site tells. Ports don't separate cookies, so
a page of another server on this machine is as foreign as any other.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bankmlops.errors import BankMLOpsError
from bankmlops.local.control.identity import Authenticator, Caller
from bankmlops.local.control.rate_limit import RateLimit
from bankmlops.types import TokenScope

MAXIMUM_BODY_BYTES = 64 * 1024
RETRY_SECONDS = 5
_BODY_SECONDS = 30.0
_REQUESTS_AT_WORK = 256
_PER_SECOND, _BURST = 50.0, 300
_STRANGERS_PER_SECOND, _STRANGERS_BURST = 20.0, 100
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_SAFE_METHODS = ("GET", "HEAD")
_PAGE = "/ui"
_SESSION = "/session"
_FEEDBACK = "/feedback"
_TRIGGER = re.compile(r"/(pipelines|pipeline-endpoints)/[^/]+/submit")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
}


@dataclass(frozen=True, slots=True)
class Doors:
    """What the guard asks: who calls, how often each may, and whether the server is about to stop."""

    authenticator: Authenticator
    callers: RateLimit = field(default_factory=lambda: RateLimit(_PER_SECOND, _BURST))
    strangers: RateLimit = field(default_factory=lambda: RateLimit(_STRANGERS_PER_SECOND, _STRANGERS_BURST))
    leaving: threading.Event = field(default_factory=threading.Event)


class Guard:
    """ASGI middleware. What it lets through finds its `Caller` in `request.state.caller`, but on the open paths."""

    def __init__(self, app: ASGIApp, doors: Doors) -> None:
        self._app = app
        self._doors = doors
        self._at_work = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_headers(send)
        refusal = self._refuse_stranger(scope) or await self._refuse_caller(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        with self._work():
            await self._with_bounded_body(scope, receive, send)

    def _refuse_stranger(self, scope: Scope) -> JSONResponse | None:
        """What has no business here, whoever sends it."""
        headers = Headers(scope=scope)
        if not _is_loopback(headers.get("host", "")):
            return error_response(421, "MisdirectedRequest", "the Host header must name this machine: 127.0.0.1 or localhost")
        origin = headers.get("origin")
        if origin is not None and not _is_loopback(origin.partition("://")[2]):
            return error_response(403, "Forbidden", "requests from other sites are refused")
        if headers.get("sec-fetch-site") == "cross-site" and not _opens_page(headers, scope["path"]):
            return error_response(403, "Forbidden", "requests from other sites are refused")
        if self._doors.leaving.is_set():
            return wait_response(503, "ServiceUnavailable", "the control server is stopping; try again", RETRY_SECONDS)
        return None

    async def _refuse_caller(self, scope: Scope) -> JSONResponse | None:
        headers, method, path = Headers(scope=scope), scope["method"], scope["path"]
        try:
            caller = await self._caller(headers, method)
        except BankMLOpsError as error:
            return wait_response(503, "ServiceUnavailable", str(error), RETRY_SECONDS)
        if caller is None and not _is_open(method, path):
            return self._throttled(self._doors.strangers, "") or _unauthorized()
        if caller is not None and not caller.may(required := required_scope(method, path)):
            return error_response(403, "Forbidden", f"{caller.name} has the scope {caller.scope}; this needs {required}")
        scope.setdefault("state", {})["caller"] = caller
        name = caller.name if caller else ""
        return self._throttled(self._doors.callers if caller else self._doors.strangers, name) or self._refuse_crowd()

    async def _caller(self, headers: Headers, method: str) -> Caller | None:
        authorization = headers.get("authorization")
        if authorization is not None:
            return await run_in_threadpool(self._doors.authenticator.by_bearer, authorization)
        secret = session_secret(headers)
        if not secret or not _is_of_this_page(headers, method):
            return None
        return await run_in_threadpool(self._doors.authenticator.by_session, secret)

    def _throttled(self, limit: RateLimit, name: str) -> JSONResponse | None:
        seconds = limit.wait_seconds(name)
        return wait_response(429, "TooManyRequests", f"too many requests; try again in {seconds} s", seconds) if seconds else None

    def _refuse_crowd(self) -> JSONResponse | None:
        if self._at_work < _REQUESTS_AT_WORK:
            return None
        return wait_response(503, "ServiceUnavailable", "too many requests at once; try again", 1)

    @contextmanager
    def _work(self) -> Iterator[None]:
        self._at_work += 1
        try:
            yield
        finally:
            self._at_work -= 1

    async def _with_bounded_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await asyncio.wait_for(_read_body(receive), _BODY_SECONDS)
        except ClientDisconnect:
            return
        except TimeoutError:
            await error_response(408, "RequestTimeout", "the body did not arrive in time")(scope, receive, send)
            return
        if body is None:
            message = f"a body may have {MAXIMUM_BODY_BYTES} bytes at most"
            await error_response(413, "RequestTooLarge", message)(scope, receive, send)
        elif body and not _is_json(Headers(scope=scope)):
            await error_response(415, "UnsupportedMediaType", "send a JSON object as application/json")(scope, receive, send)
        else:
            await self._app(scope, _replay(body, receive), send)


def required_scope(method: str, path: str) -> TokenScope:
    """What a request wants of its caller: reading, a trigger of what is published, true labels, or, for the rest, everything."""
    if method in _SAFE_METHODS or path == _SESSION or path.startswith(f"{_SESSION}/"):
        return TokenScope.READ
    if method == "POST" and path == _FEEDBACK:
        return TokenScope.FEEDBACK
    return TokenScope.TRIGGER if method == "POST" and _TRIGGER.fullmatch(path) else TokenScope.ADMIN


def session_cookie(headers: Headers) -> str:
    """The name of the session's cookie: it holds the port, since browsers send the cookies of all ports to each."""
    port = headers.get("host", "").rpartition(":")[2]
    return f"bankmlops_session_{port if port.isdecimal() else '80'}"


def session_secret(headers: Headers) -> str:
    """The secret that the request's session cookie carries; empty where it carries none."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(session_cookie(headers))
    except CookieError:
        return ""
    return found.value if found else ""


def error_response(status: int, code: str, message: str) -> JSONResponse:
    """An error as Azure words one: `{"error": {"code", "message"}}`, the message one line."""
    return JSONResponse({"error": {"code": code, "message": message}}, status_code=status)


def wait_response(status: int, code: str, message: str, seconds: int) -> JSONResponse:
    """An error that goes away: it says after how many seconds to try again."""
    response = error_response(status, code, message)
    response.headers["Retry-After"] = str(seconds)
    return response


def _unauthorized() -> JSONResponse:
    response = error_response(401, "Unauthorized", "send a token of the workspace as `Authorization: Bearer TOKEN`")
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _is_open(method: str, path: str) -> bool:
    """Health, the page's own files, which hold no data, and the door at which a one-time code is shown."""
    if method in _SAFE_METHODS:
        return path in ("/", _PAGE) or path.startswith(f"{_PAGE}/")
    return method == "POST" and path == _SESSION


def _opens_page(headers: Headers, path: str) -> bool:
    """A link or a file that leads a browser's own window to the page, which holds no data: `bankmlops ui` opens it so."""
    fetched_as = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest"))
    return path in (_PAGE, f"{_PAGE}/") and fetched_as == ("navigate", "document")


def _is_of_this_page(headers: Headers, method: str) -> bool:
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    own = f"http://{headers.get('host', '')}"
    return origin == own if method not in _SAFE_METHODS else origin in (None, own)


def _is_loopback(host: str) -> bool:
    name, separator, port = host.rpartition(":")
    if not separator or host.endswith("]"):
        name, port = host, "0"
    return name.lower() in _LOOPBACK_NAMES and port.isdecimal()


def _is_json(headers: Headers) -> bool:
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def _with_headers(send: Send) -> Send:
    """Each answer bears the headers that keep a browser from reading it otherwise than it is meant, unless it sets its own."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body; None as soon as it is too large. Raises `ClientDisconnect` where its sender left: half a body is none."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > MAXIMUM_BODY_BYTES:
            return None
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def _replay(body: bytes, receive: Receive) -> Receive:
    pending = [body]

    async def replayed() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return replayed
