"""What stands before the control server: who may call, from where, how often, and how much they may send."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse

from bankmlops.local.control import guard as control_guard
from bankmlops.local.control.guard import MAXIMUM_BODY_BYTES, Doors, Guard
from bankmlops.local.control.identity import Authenticator
from bankmlops.local.control.rate_limit import RateLimit
from bankmlops.local.control.session_api import session_router
from bankmlops.local.control.sessions import Sessions
from bankmlops.local.control.tokens import ControlTokens
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import TokenScope

TOKEN = "token-of-the-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
JSON = {"Content-Type": "application/json"}
ADDRESS = "http://127.0.0.1:8000"
SUBMIT = "/pipelines/1/submit"


async def _echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


@dataclass
class Site:
    """A guarded application, called without a socket."""

    workspace: LocalWorkspace
    clock: list[float] = field(default_factory=lambda: [0.0])
    callers: RateLimit | None = None
    strangers: RateLimit | None = None
    leaving: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.tokens = ControlTokens(self.workspace)
        self.sessions = Sessions(lambda: self.clock[0])
        limits = {"callers": self.callers, "strangers": self.strangers}
        given = {name: limit for name, limit in limits.items() if limit}
        doors = Doors(Authenticator(TOKEN, self.tokens, self.sessions), leaving=self.leaving, **given)
        app = FastAPI()
        for path in ("/", "/runs", "/ui", "/ui/page.js", "/feedback", SUBMIT):
            app.add_api_route(path, _echo, methods=["GET", "POST"])
        app.include_router(session_router(self.sessions))
        self.guard = Guard(app, doors)

    def __call__(self, method: str, path: str, headers: Mapping[str, str], content: Any = None) -> httpx.Response:
        async def sent() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.guard)
            async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as client:
                return await client.request(method, path, headers=headers, content=content)

        return asyncio.run(sent())

    def secret(self, name: str = "ci", scope: TokenScope = TokenScope.ADMIN) -> str:
        return self.tokens.create(name, scope).secret

    def cookie(self, headers: Mapping[str, str] = BEARER, content: bytes | None = None) -> dict[str, str]:
        """The cookie of a new session."""
        answer = self("POST", "/session", headers, content)
        assert answer.status_code == 204, answer.text
        return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(LocalWorkspace(tmp_path / "workspace"))


def test_the_door_is_open_for_health_and_the_page_alone(site: Site) -> None:
    """Without a token one learns that the server is there, and gets the page's files, which hold no data."""
    for path in ("/", "/ui", "/ui/page.js"):
        assert site("GET", path, {}).status_code == 200
    for method, path in (("GET", "/runs"), ("POST", "/ui"), ("POST", "/"), ("GET", "/uix"), ("POST", "/session/codes")):
        refused = site(method, path, {})
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert refused.json()["error"]["code"] == "Unauthorized"


@pytest.mark.parametrize(
    "header", ["", "Bearer", f"bearer {TOKEN}", f"Bearer {TOKEN} ", f"Basic {TOKEN}", "Bearer \xe9", "Bearer bmt_guessed"]
)
def test_only_the_token_opens(site: Site, header: str) -> None:
    """Anything that is not the very token is refused."""
    assert site("POST", "/runs", {"Authorization": header.encode("latin-1")}).status_code == 401  # type: ignore[dict-item]


def test_the_token_opens(site: Site) -> None:
    """With the token a body arrives whole."""
    answer = site("POST", "/runs", {**BEARER, **JSON}, b"x" * MAXIMUM_BODY_BYTES)
    assert (answer.status_code, answer.text) == (200, str(MAXIMUM_BODY_BYTES))


def test_a_given_token_opens_until_it_is_revoked(site: Site) -> None:
    """A token that was made opens what the workspace's own does, and nothing from the moment on at which it is revoked."""
    bearer = {"Authorization": f"Bearer {site.secret()}"}
    assert site("POST", "/runs", bearer).status_code == 200
    ControlTokens(site.workspace).revoke("ci")
    assert site("POST", "/runs", bearer).status_code == 401


@pytest.mark.parametrize(
    ("scope", "statuses"),
    [
        (TokenScope.READ, (200, 403, 403, 403)),
        (TokenScope.TRIGGER, (200, 200, 403, 403)),
        (TokenScope.FEEDBACK, (403, 403, 200, 403)),
        (TokenScope.ADMIN, (200, 200, 200, 200)),
    ],
)
def test_scopes(site: Site, scope: TokenScope, statuses: tuple[int, ...]) -> None:
    """A token reads; reads and triggers what is published; brings true labels and no more; or does everything."""
    bearer = {"Authorization": f"Bearer {site.secret('ci', scope)}"}
    asked = (("GET", "/runs"), ("POST", SUBMIT), ("POST", "/feedback"), ("POST", "/runs"))
    assert tuple(site(method, path, bearer).status_code for method, path in asked) == statuses


def test_too_large_a_body(site: Site) -> None:
    """A byte more than is allowed is refused, also where its length was not said."""
    for content in (b"x" * (MAXIMUM_BODY_BYTES + 1), _chunks()):
        refused = site("POST", "/runs", {**BEARER, **JSON}, content)
        assert refused.status_code == 413
        assert str(MAXIMUM_BODY_BYTES) in refused.json()["error"]["message"]


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_what_a_form_can_send_is_refused(site: Site, kind: str | None) -> None:
    """The types of content that a page may send anywhere without asking are not read as JSON."""
    assert site("POST", "/runs", {**BEARER, **({"Content-Type": kind} if kind else {})}, b"{}").status_code == 415


def test_too_slow_a_body(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that does not come is not waited for without end, and half of one is not acted on."""
    monkeypatch.setattr(control_guard, "_BODY_SECONDS", 0.05)

    async def never() -> dict[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError

    async def leave() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    assert _statuses(site, never) == [408]
    assert _statuses(site, leave) == []


def _statuses(site: Site, receive: Any) -> list[int]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"authorization", BEARER["Authorization"].encode())]
    scope = {"type": "http", "method": "POST", "path": "/runs", "headers": headers}
    asyncio.run(site.guard(scope, receive, send))
    return [message["status"] for message in sent if message["type"] == "http.response.start"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost:80:80", "", "127.0.0.1:x", "[::2]:80"])
def test_a_foreign_host_is_refused(site: Site, host: str) -> None:
    """A name that a browser was tricked into resolving to this machine opens nothing, token or not."""
    assert site("GET", "/", {**BEARER, "Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8000", "LOCALHOST", "[::1]:8000", "[::1]"])
def test_this_machines_names_serve(site: Site, host: str) -> None:
    """This machine is called by several names."""
    assert site("GET", "/", {"Host": host}).status_code == 200


@pytest.mark.parametrize(("origin", "status"), [("https://evil.example", 403), ("null", 403), ("http://localhost:3000", 200)])
def test_other_sites_are_refused(site: Site, origin: str, status: int) -> None:
    """A page of another site can't call, though the browser is on this machine and whatever it has."""
    assert site("POST", "/runs", {**BEARER, "Origin": origin}).status_code == status


def test_a_cross_site_fetch_is_refused(site: Site) -> None:
    """What a browser says comes from another site is refused, where it sends no Origin."""
    assert site("GET", "/runs", {**BEARER, "Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_a_session_reads_and_its_page_changes(site: Site) -> None:
    """A session opened with a token reads, and changes what a page of this very server asks for."""
    cookie = site.cookie()
    assert site("GET", "/runs", cookie).status_code == 200
    assert site("POST", "/runs", {**cookie, "Origin": ADDRESS, "Sec-Fetch-Site": "same-origin"}).status_code == 200


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {}),
        ("POST", {"Origin": "http://127.0.0.1:3000"}),
        ("POST", {"Origin": "http://localhost:8000"}),
        ("POST", {"Origin": ADDRESS, "Sec-Fetch-Site": "same-site"}),
        ("GET", {"Sec-Fetch-Site": "same-site"}),
        ("GET", {"Origin": "http://127.0.0.1:3000"}),
    ],
)
def test_a_cookie_that_another_page_sends_opens_nothing(site: Site, method: str, headers: dict[str, str]) -> None:
    """A browser adds the cookie for pages of other ports too: they are as foreign as other sites."""
    assert site(method, "/runs", {**site.cookie(), **headers}).status_code == 401


def test_the_cookie_is_kept_from_scripts_and_sites(site: Site) -> None:
    """The cookie is HttpOnly and SameSite=Strict, it is named by the port, and it is not the token."""
    header = site("POST", "/session", BEARER).headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(header.split("; "))
    assert header.startswith("bankmlops_session_8000=")
    assert TOKEN not in header


def test_a_code_opens_one_session(site: Site) -> None:
    """A one-time code opens a session of whoever had it made, once, within a minute."""
    code = site("POST", "/session/codes", BEARER).json()["Code"]
    shown = b'{"Code": "%s"}' % code.encode()
    assert site("GET", "/runs", site.cookie(JSON, shown)).status_code == 200
    assert site("POST", "/session", JSON, shown).status_code == 401
    late = site("POST", "/session/codes", BEARER).json()["Code"]
    site.clock[0] += 61
    assert site("POST", "/session", JSON, b'{"Code": "%s"}' % late.encode()).status_code == 401
    assert site("POST", "/session", {}).status_code == 401


def test_a_session_ends(site: Site) -> None:
    """A session ends where its page says so, with the token that opened it, and after half a day."""
    secret = site.secret("ci", TokenScope.READ)
    given, own, left = site.cookie({"Authorization": f"Bearer {secret}"}), site.cookie(), site.cookie()
    assert site("DELETE", "/session", {**left, "Origin": ADDRESS}).status_code == 204
    assert [site("GET", "/runs", cookie).status_code for cookie in (given, own, left)] == [200, 200, 401]
    assert site("POST", "/runs", {**given, "Origin": ADDRESS}).status_code == 403
    site.tokens.revoke("ci")
    assert [site("GET", "/runs", cookie).status_code for cookie in (given, own)] == [401, 200]
    site.clock[0] += 13 * 3600
    assert site("GET", "/runs", own).status_code == 401


def test_the_rate_of_each_caller(tmp_path: Path) -> None:
    """A caller that asks too often waits, and is told how long; others, and those who guess tokens, have a rate of their own."""
    clock = [0.0]
    one, two = RateLimit(1.0, 2, lambda: clock[0]), RateLimit(1.0, 1, lambda: clock[0])
    site = Site(LocalWorkspace(tmp_path / "workspace"), callers=one, strangers=two)
    other = {"Authorization": f"Bearer {site.secret()}"}
    assert [site("GET", "/runs", BEARER).status_code for _ in range(3)] == [200, 200, 429]
    refused = site("GET", "/runs", BEARER)
    assert (refused.json()["error"]["code"], refused.headers["retry-after"]) == ("TooManyRequests", "1")
    assert site("GET", "/runs", other).status_code == 200
    assert [site("GET", "/runs", {"Authorization": "Bearer x"}).status_code for _ in range(2)] == [401, 429]
    clock[0] += 1
    assert site("GET", "/runs", BEARER).status_code == 200


def test_a_server_that_stops_refuses(site: Site) -> None:
    """What comes while the server stops is refused with the time after which to try again."""
    site.leaving.set()
    refused = site("POST", SUBMIT, BEARER)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")


def test_a_crowd_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past so many requests at once one more is refused, not made to wait."""
    monkeypatch.setattr(control_guard, "_REQUESTS_AT_WORK", 0)
    refused = site("GET", "/runs", BEARER)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")


def test_no_answer_may_be_framed_or_kept(site: Site) -> None:
    """Every answer, a refusal too, tells a browser not to guess its type, not to frame it, and not to keep it."""
    for answer in (site("GET", "/", {}), site("GET", "/runs", {})):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_the_token_is_never_answered(site: Site) -> None:
    """No refusal tells the token."""
    for answer in (site("GET", "/runs", {}), site("GET", "/runs", {**BEARER, "Host": "evil.example"})):
        assert TOKEN not in answer.text + str(answer.headers)


def _chunks() -> Any:
    async def chunks() -> Any:
        for _ in range(MAXIMUM_BODY_BYTES // 1024 + 1):
            yield b"x" * 1024

    return chunks()
