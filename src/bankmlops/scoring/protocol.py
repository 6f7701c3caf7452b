"""What uvicorn's HTTP protocol leaves open: bounds on connections, on the head's size, and on the time that a client may take.

No timer is made for a request: each connection notes when its present state began, and the server looks over them now and then.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from bankmlops.scoring.exchange import AHEAD
from bankmlops.scoring.limits import Limits

_DISCARD_FACTOR = 4
_CHUNK_FRAME_BYTES = 8
_OFFER = frozenset({b"upgrade", b"connection", b"http2-settings"})


class Doorkeeper(Protocol):
    """What the application is told of those who wait at its door and those who don't get in."""

    waiting: int

    def turned_away(self, reason: str) -> None:
        """Count a request that was refused before the application saw it."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. Its state is one of: waiting for a head, busy with a request, idle between requests.

    `_head_bytes` counts what arrived of the present message and is no body: head, chunk extensions, trailers.
    """

    def __init__(self, limits: Limits, door: Doorkeeper, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._limits = limits
        self._door = door
        self._since = self.loop.time()
        self._head_open = True
        self._message_open = True
        self._refused = False
        self._running: RequestResponseCycle | None = None
        self._head_bytes = 0
        self._body_bytes = 0

    def cut_if_overdue(self, now: float) -> None:
        """End the connection where its state lasts too long; `now` is the event loop's time."""
        if now - self._since <= self._seconds_allowed():
            return
        answered = self.cycle is not None and self.cycle.response_started
        if self._message_open and not answered:
            self._refuse("slow", b"408 Request Timeout")
        else:
            self.transport.close()
        self._since = now
        self.loop.call_later(1.0, self._abort)  # for a client that doesn't read what is left to be written

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            self._refuse("connections", b"503 Service Unavailable", b"retry-after: 1\r\n")

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._head_bytes += len(data)
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except HttpParserError:
            self._refuse("http", b"400 Bad Request")
        if self._head_bytes > self._limits.header_bytes and not self._refused:
            self._refuse("head", b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._since = self.loop.time()
        self._message_open = True
        self._body_bytes = 0

    def on_headers_complete(self) -> None:
        if self._head_bytes > self._limits.header_bytes and self._head_size() > self._limits.header_bytes:
            self._refuse("head", b"431 Request Header Fields Too Large")
        self._head_open = False
        self._head_bytes = 0
        if not self._refused and not self.parser.should_upgrade():
            self._begin()

    def _feed(self, data: bytes) -> None:
        """Parse. Where the client offers another protocol (Java's sends `Upgrade: h2c` at first), HTTP/1.1 goes on.

        The parser takes such a request to end with its head, so a new one reads the head without the offer, and then the body.
        """
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            if self._refused:
                return
            if self.parser.get_method() == b"CONNECT":
                self._refuse("http", b"405 Method Not Allowed")
                return
            head = self._head_without_offer()
            self.parser = HttpRequestParser(self)
            self._feed(head + data[upgrade.args[0] :])

    def _head_without_offer(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        lines += [name + b": " + value for name, value in self.headers if name not in _OFFER]
        return b"\r\n".join([*lines, b"", b""])

    def _begin(self) -> None:
        begins_at_once = self.cycle is None or self.cycle.response_complete
        super().on_headers_complete()
        if begins_at_once:
            self._running = self.cycle
            self.scope[AHEAD] = self._door.waiting  # type: ignore[literal-required]
            self._door.waiting += 1

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        self._head_bytes -= len(body) + _CHUNK_FRAME_BYTES  # what is left are chunk extensions and trailers
        if self._body_bytes > _DISCARD_FACTOR * self._limits.body_bytes:
            self._abort()
        elif not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._message_open = False
        self._head_open = True
        self._head_bytes = 0
        if not self._refused and not self.parser.should_upgrade():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self._since = self.loop.time()
        self._running = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._tell_running()
        super().connection_lost(exc)

    def _seconds_allowed(self) -> float:
        if self._message_open and self._head_open:
            return self._limits.head_seconds
        busy = self._message_open or bool(self.pipeline) or not (self.cycle is None or self.cycle.response_complete)
        return self._limits.request_seconds if busy else self._limits.keep_alive_seconds

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _abort(self) -> None:
        self._tell_running()
        self.transport.abort()

    def _tell_running(self) -> None:
        """There is nobody to answer: uvicorn tells so only the newest request of a connection, which may be one that waits."""
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()

    def _refuse(self, reason: str, status: bytes, headers: bytes = b"") -> None:
        self._refused = True
        self._door.turned_away(reason)
        self.transport.write(b"HTTP/1.1 " + status + b"\r\n" + headers + b"connection: close\r\ncontent-length: 0\r\n\r\n")
        self.transport.close()
