"""The Swagger UI server, in front of a real endpoint."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
import uvicorn

from bankmlops import swagger_ui
from bankmlops.errors import ConflictError, NotFoundError
from bankmlops.swagger_ui import Target, create_app, serve_docs
from support.http_server import Answer, Asked, LocalServer, serving

SWAGGER = {
    "swagger": "2.0",
    "info": {"title": "bank"},
    "host": "bank.example",
    "basePath": "/api",
    "schemes": ["https"],
    "paths": {"/": {"get": {}}, "/score": {"post": {}}},
}


def _endpoint(asked: Asked) -> Answer:
    if asked.path == "/api/swagger.json":
        return Answer(SWAGGER)
    if asked.path == "/api/score":
        authorized = asked.headers.get("authorization") == "Bearer right"
        return Answer('{"result": ["yes"]}') if authorized else Answer({"message": "the key is wrong"}, 401)
    return Answer(body=b"Healthy", headers={"Content-Type": "text/plain", "Set-Cookie": "a=b"})


@pytest.fixture
def endpoint() -> Iterator[LocalServer]:
    with serving(_endpoint) as running:
        yield running


@pytest.fixture
def page(endpoint: LocalServer) -> Iterator[httpx.Client]:
    """A client of the page's server."""
    listener = socket.create_server(("127.0.0.1", 0))
    authority = f"127.0.0.1:{listener.getsockname()[1]}"
    app = create_app(_target(endpoint), authority)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        with httpx.Client(base_url=f"http://{authority}", trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def _target(endpoint: LocalServer) -> Target:
    return Target("bank", f"{endpoint.url}/api/score", f"{endpoint.url}/api/swagger.json")


def test_the_page_and_its_files(page: httpx.Client) -> None:
    """The page names files that are there, all of this origin, and forbids all others."""
    answer = page.get("/docs")
    assert answer.status_code == 200
    assert "bank" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for name in ("swagger-ui.css", "swagger-ui-bundle.js", "initializer.js", "favicon-32x32.png"):
        assert f"/docs/{name}" in answer.text
        assert page.get(f"/docs/{name}").status_code == 200
    assert page.get("/docs/../pyproject.toml").status_code == 404
    assert page.get("/docs/nothing.js").status_code == 404


def test_the_description_names_no_other_host(page: httpx.Client) -> None:
    """The endpoint's description arrives without its host and scheme, so that a browser tries it by way of the page."""
    document = page.get("/swagger.json").json()
    assert document["paths"] == SWAGGER["paths"]
    assert document["schemes"] == ["http"]
    assert "host" not in document
    assert "basePath" not in document


def test_a_call_is_forwarded(page: httpx.Client, endpoint: LocalServer) -> None:
    """A call goes to the endpoint with the key that was typed and the body, and its answer comes back, cookies left out."""
    headers = {"Authorization": "Bearer right", "Cookie": "private=1", "Origin": str(page.base_url).rstrip("/")}
    answer = page.post("/score", json={"data": [{"age": 20}]}, headers=headers)
    assert (answer.status_code, answer.json()) == (200, '{"result": ["yes"]}')
    asked = endpoint.asked[-1]
    assert (asked.method, asked.path, asked.document) == ("POST", "/api/score", {"data": [{"age": 20}]})
    assert "cookie" not in asked.headers
    healthy = page.get("/")
    assert healthy.text == "Healthy"
    assert "set-cookie" not in healthy.headers


def test_a_refusal_is_forwarded(page: httpx.Client) -> None:
    """What the endpoint refuses is shown as it refused it."""
    answer = page.post("/score", json={"data": []}, headers={"Authorization": "Bearer wrong"})
    assert (answer.status_code, answer.json()["message"]) == (401, "the key is wrong")


def test_nothing_else_is_forwarded(page: httpx.Client, endpoint: LocalServer) -> None:
    """Only the operations of the description reach the endpoint."""
    before = len(endpoint.asked)
    assert page.get("/metrics").status_code == 404
    assert page.get("/score").status_code == 404
    assert page.post("/", json={}).status_code == 404
    assert page.delete("/score").status_code == 405
    assert len(endpoint.asked) == before


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Host": "localhost:80"}, {"Origin": "http://evil.example"}, {"Origin": "null"}],
)
def test_other_origins_are_refused(page: httpx.Client, endpoint: LocalServer, headers: dict[str, str]) -> None:
    """Neither another site's page nor another name for this machine gets anything (DNS rebinding)."""
    before = len(endpoint.asked)
    assert page.get("/docs", headers=headers).status_code == 403
    assert page.post("/score", json={}, headers=headers).status_code == 403
    assert len(endpoint.asked) == before


def test_bodies_are_bounded(page: httpx.Client, endpoint: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body beyond the bound is refused in both directions."""
    monkeypatch.setattr(swagger_ui, "MAXIMUM_BYTES", 1000)
    before = len(endpoint.asked)
    assert page.post("/score", content=b"x" * 1001).status_code == 413
    assert len(endpoint.asked) == before
    endpoint.answer = lambda _: Answer(body=b"x" * 1001)
    assert page.post("/score", content=b"{}").status_code == 502


def test_an_endpoint_that_is_gone(page: httpx.Client, endpoint: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that does not answer in time is a gateway's error with one line."""
    monkeypatch.setattr(swagger_ui, "FORWARD_SECONDS", 0.1)
    endpoint.answer = lambda _: time.sleep(0.5) or Answer({})  # type: ignore[func-returns-value]
    answer = page.post("/score", content=b"{}")
    assert answer.status_code == 502
    assert "answer" in answer.json()["message"]


def test_a_busy_port(endpoint: LocalServer) -> None:
    """A port that is taken is a conflict that names the option."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConflictError, match=f"port {port}.*--port"):
            serve_docs(_target(endpoint), port, pytest.fail)


def test_an_endpoint_without_a_description(endpoint: LocalServer) -> None:
    """Where the endpoint does not describe itself no page is announced."""
    endpoint.answer = lambda _: Answer({"message": "no"}, 404)
    with pytest.raises(NotFoundError):
        serve_docs(_target(endpoint), 0, pytest.fail)
