"""What stands before the control server: who may call, from where, and how much they may send."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bankmlops.local import control_guard
from bankmlops.local.control_guard import MAXIMUM_BODY_BYTES, Guard

TOKEN = "token-of-the-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


async def _echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


def _app() -> Guard:
    routes = [Route(path, _echo, methods=["GET", "POST"]) for path in ("/", "/runs")]
    return Guard(Starlette(routes=routes), TOKEN)


def _send(method: str, path: str, headers: Mapping[str, str], content: Any = None) -> httpx.Response:
    async def sent() -> httpx.Response:
        transport = httpx.ASGITransport(app=_app())
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            return await client.request(method, path, headers=headers, content=content)

    return asyncio.run(sent())


def test_the_door_is_open_for_health_alone() -> None:
    """Without a token one learns that the server is there, and no more."""
    assert _send("GET", "/", {}).status_code == 200
    refused = _send("GET", "/runs", {})
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.json()["error"]["code"] == "Unauthorized"


@pytest.mark.parametrize("header", ["", "Bearer", f"bearer {TOKEN}", f"Bearer {TOKEN} ", f"Basic {TOKEN}", "Bearer \xe9"])
def test_only_the_token_opens(header: str) -> None:
    """Anything that is not the very token is refused."""
    assert _send("POST", "/runs", {"Authorization": header.encode("latin-1")}).status_code == 401  # type: ignore[dict-item]


def test_the_token_opens() -> None:
    """With the token a body arrives whole."""
    answer = _send("POST", "/runs", BEARER, b"x" * MAXIMUM_BODY_BYTES)
    assert (answer.status_code, answer.text) == (200, str(MAXIMUM_BODY_BYTES))


def test_too_large_a_body() -> None:
    """A byte more than is allowed is refused, also where its length was not said."""
    for content in (b"x" * (MAXIMUM_BODY_BYTES + 1), _chunks()):
        refused = _send("POST", "/runs", BEARER, content)
        assert refused.status_code == 413
        assert str(MAXIMUM_BODY_BYTES) in refused.json()["error"]["message"]


def test_too_slow_a_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that does not come is not waited for without end."""
    monkeypatch.setattr(control_guard, "_BODY_SECONDS", 0.05)

    async def never() -> dict[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"authorization", BEARER["Authorization"].encode())]
    scope = {"type": "http", "method": "POST", "path": "/runs", "headers": headers}
    asyncio.run(_app()(scope, never, send))
    assert sent[0]["status"] == 408


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost:80:80", "", "127.0.0.1:x", "[::2]:80"])
def test_a_foreign_host_is_refused(host: str) -> None:
    """A name that a browser was tricked into resolving to this machine opens nothing, token or not."""
    assert _send("GET", "/", {**BEARER, "Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8000", "LOCALHOST", "[::1]:8000", "[::1]"])
def test_this_machines_names_serve(host: str) -> None:
    """This machine is called by several names."""
    assert _send("GET", "/", {"Host": host}).status_code == 200


@pytest.mark.parametrize(("origin", "status"), [("https://evil.example", 403), ("null", 403), ("http://localhost:3000", 200)])
def test_other_sites_are_refused(origin: str, status: int) -> None:
    """A page of another site can't call, though the browser is on this machine."""
    assert _send("GET", "/", {"Origin": origin}).status_code == status


def test_the_token_is_never_answered() -> None:
    """No refusal tells the token."""
    for answer in (_send("GET", "/runs", {}), _send("GET", "/runs", {**BEARER, "Host": "evil.example"})):
        assert TOKEN not in answer.text + str(answer.headers)


def _chunks() -> Any:
    async def chunks() -> Any:
        for _ in range(MAXIMUM_BODY_BYTES // 1024 + 1):
            yield b"x" * 1024

    return chunks()
