"""Connections to the control server, bounded: so many at once, and a request's head within so many seconds.

uvicorn bounds neither a client that connects and says nothing nor one that sends its head a byte at a time, and what it answers
past its own limit does not say when to try again.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MAXIMUM_CONNECTIONS = 512
HEAD_SECONDS = 10.0
MAXIMUM_HEAD_BYTES = 16 * 1024
_BODY = b'{"error":{"code":"ServiceUnavailable","message":"too many connections; try again in a second"}}'
_CROWDED = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)


class BoundedConnection(H11Protocol):
    """uvicorn's protocol with both bounds."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse one too many; await the head of the first request of any other."""
        super().connection_made(transport)
        if len(self.connections) > MAXIMUM_CONNECTIONS:
            transport.write(_CROWDED)
            transport.close()
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._stop_awaiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Await the rest of a head that has begun."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._await_head()
        else:
            self._stop_awaiting()

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_awaiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
