"""What uvicorn's HTTP protocol leaves open: bounds on connections, on the head's size, and on the time that a client may take.

No timer is made for a request: each connection notes when its present state began, and the server looks over them now and then.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from bankmlops.scoring.exchange import AHEAD, Exchange
from bankmlops.scoring.limits import Limits
from bankmlops.scoring.small_requests import SmallRequest

_DISCARD_FACTOR = 4
_CHUNK_FRAME_BYTES = 8
_DIGITS = 20
_OFFER = frozenset({b"upgrade", b"connection", b"http2-settings"})


class Doorkeeper(Protocol):
    """What the application is told of those who wait at its door and those who don't get in."""

    inline_bytes: int

    def arrived(self) -> int:
        """One more waits; answers how many are ahead of it."""

    def begin_small(self, headers: dict[bytes, bytes]) -> Exchange:
        """The head of a small `POST /score` is there."""

    def small_arrived(self, request: SmallRequest) -> None:
        """It is there as a whole, and is to be answered."""

    def small_left(self, exchange: Exchange) -> None:
        """Its caller went away before it was whole."""

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
        self._running: RequestResponseCycle | SmallRequest | None = None
        self._small: SmallRequest | None = None
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
        try:
            self._feed(data)
        except HttpParserError:
            self._refuse("http", b"400 Bad Request")
        if self._head_bytes > self._limits.header_bytes and not self._refused:
            self._refuse("head", b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self._since = self.loop.time()
        self._message_open = True
        self._body_bytes = 0

    def on_headers_complete(self) -> None:
        if self._head_bytes > self._limits.header_bytes and self._head_size() > self._limits.header_bytes:
            self._refuse("head", b"431 Request Header Fields Too Large")
        self._head_open = False
        self._head_bytes = 0
        if self._refused or self.parser.should_upgrade():
            return
        headers = dict(self.headers)
        if self._is_small(headers):
            self._begin_small(headers)
        else:
            self._begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

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

    def _is_small(self, headers: dict[bytes, bytes]) -> bool:
        """Whether it is a request to score of a known, small length, and nothing else is left to be done for this client."""
        length = headers.get(b"content-length", b"")
        return (
            self.url == b"/score"
            and self._is_free()
            and length.isdigit()
            and len(length) < _DIGITS
            and int(length) <= self._door.inline_bytes
            and not self.flow.write_paused
            and b"expect" not in headers
            and self.parser.get_method() == b"POST"
        )

    def _is_free(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _begin_small(self, headers: dict[bytes, bytes]) -> None:
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        self._small = self._running = SmallRequest(self, self._door.begin_small(headers), keep_alive=keep_alive)
        self.cycle = self._small  # type: ignore[assignment]  # it has what uvicorn looks at

    def _begin(self) -> None:
        begins_at_once = self._is_free()
        url, headers = self.url, self.headers
        super().on_message_begin()  # makes the scope, which a small request does without
        self.url = url
        for name, value in headers:
            super().on_header(name, value)
        super().on_headers_complete()
        if begins_at_once:
            self._running = self.cycle
            self.scope[AHEAD] = self._door.arrived()  # type: ignore[literal-required]

    def answer(self, request: SmallRequest, head: bytes, body: bytes) -> None:
        """Send the whole answer to a small request; `head` is without the empty line at its end."""
        if request.disconnected or self.transport.is_closing():
            return
        lines = [head, *(b"%b: %b\r\n" % header for header in self.server_state.default_headers)]
        if not request.keep_alive:
            lines.append(b"connection: close\r\n")
        self.transport.write(b"".join([*lines, b"\r\n", body]))
        request.response_started = request.response_complete = True
        if not request.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        self._head_bytes -= len(body) + _CHUNK_FRAME_BYTES  # what is left are chunk extensions and trailers
        if self._small is not None:
            self._small.body += body  # as long as was declared, at most
        elif self._body_bytes > _DISCARD_FACTOR * self._limits.body_bytes:
            self._abort()
        elif not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._message_open = False
        self._head_open = True
        self._head_bytes = 0
        if self._refused or self.parser.should_upgrade():
            return
        small, self._small = self._small, None
        if small is None:
            super().on_message_complete()
        else:
            small.more_body = False
            self._door.small_arrived(small)

    def on_response_complete(self) -> None:
        self._since = self.loop.time()
        self._running = self.pipeline[-1][0] if self.pipeline else None
        if self.pipeline:
            super().on_response_complete()
        else:  # uvicorn would set a timer, and `cut_if_overdue` does its work
            self.server_state.total_requests += 1
            self.flow.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._tell_running()
        if self._small is not None:
            self._door.small_left(self._small.exchange)
            self._small = None
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
