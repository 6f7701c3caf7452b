"""Connections to the control server that come in crowds, say nothing, or say too much."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from bankmlops.local.control import connections as control_connections
from bankmlops.local.control.connections import MAXIMUM_HEAD_BYTES, BoundedConnection

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("here")(scope, receive, send)


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """A server in this process that waits for a head for 0.3 s, and takes two connections."""
    monkeypatch.setattr(control_connections, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(control_connections, "MAXIMUM_CONNECTIONS", 2)
    config = uvicorn.Config(
        _app,
        log_config=None,
        lifespan="off",
        http=BoundedConnection,
        h11_max_incomplete_event_size=MAXIMUM_HEAD_BYTES,
        timeout_keep_alive=1,
    )
    server, listener = uvicorn.Server(config), socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()
    server.should_exit = True
    thread.join(10)


def _connect(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, timeout=10)


def _answer(connection: socket.socket) -> bytes:
    received = b""
    while chunk := connection.recv(4096):
        received += chunk
    return received


@pytest.mark.parametrize("said", [b"", b"GET / HT"])
@pytest.mark.parametrize("asked_before", [False, True])
def test_a_head_that_does_not_come(address: tuple[str, int], said: bytes, asked_before: bool) -> None:
    """Who connects and says nothing, or stops in a head, the second one too, is let go."""
    with _connect(address) as connection:
        if asked_before:
            connection.sendall(REQUEST)
            assert b"here" in connection.recv(4096)
        connection.sendall(said)
        assert _answer(connection) == b""


def test_requests_one_after_the_other(address: tuple[str, int]) -> None:
    """A connection that goes on asking in time is kept."""
    with _connect(address) as connection:
        for _ in range(3):
            connection.sendall(REQUEST)
            assert b"here" in connection.recv(4096)
            time.sleep(0.2)


def test_one_connection_too_many(address: tuple[str, int]) -> None:
    """One connection more than there may be is told when to come again."""
    with _connect(address) as first, _connect(address) as second, _connect(address) as third:
        refused = _answer(third)
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in refused
        for connection in (first, second):
            connection.sendall(REQUEST)
            assert b"here" in connection.recv(4096)


def test_a_head_without_end(address: tuple[str, int]) -> None:
    """A head that is longer than it may be is refused."""
    with _connect(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * (MAXIMUM_HEAD_BYTES + 1))
        assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")
