"""Takes connections off the listening socket: one at a time so that workers share them evenly, all at once when they pile up.

uvloop accepts one in each turn of the event loop. In an overload that leaves the rest in the kernel's queue, where nobody counts
or refuses them, and who is served at last has waited for seconds. So this looks at how long that queue is: where it is longer
than workers that keep up would let it be, all that wait are taken in, and those too many are told to come again. A worker that
has nobody to share with takes in all that wait at any time, so that a request counts from its arrival on.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable

PILE = 16
_AT_MOST = 1024
_PAUSE_SECONDS = 0.5
_QUEUED = struct.Struct("=24xI")  # tcp_info.tcpi_unacked: of a listening socket on Linux, the connections that nobody took yet
_LOG = logging.getLogger("bankmlops.scoring")


class Acceptor:
    """Connections of one listening socket become protocols, until `close`. To be used from the event loop alone.

    More than `pile` that wait are taken in at once.
    """

    def __init__(self, listener: socket.socket, make_protocol: Callable[[], asyncio.Protocol], pile: int) -> None:
        self._listener = listener
        self._make_protocol = make_protocol
        self._pile = pile
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[object]] = set()
        self._is_open = True
        listener.setblocking(False)
        self._watch()

    def close(self) -> None:
        """Take no more (idempotent); others who share the socket go on."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._listener)
            self._listener.close()

    def _watch(self) -> None:
        if self._is_open:
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        queued = waiting_connections(self._listener)
        for _ in range(min(queued, _AT_MOST) if queued > self._pile else 1):
            try:
                connection, _address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):  # another worker was faster, or the caller went away
                return
            except OSError as error:
                self._pause(error)
                return
            self._take(connection)

    def _take(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._make_protocol, connection))
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: the caller went away before it was taken in

    def _pause(self, error: OSError) -> None:
        """Out of descriptors or memory: trying again at once would only take time from those who may give some back."""
        _LOG.error("connections wait: %s", error.strerror)
        self._loop.remove_reader(self._listener)
        self._loop.call_later(_PAUSE_SECONDS, self._watch)


def waiting_connections(listener: socket.socket) -> int:
    """How many connections nobody has taken yet; 0 where the system does not say."""
    try:
        return int(_QUEUED.unpack(listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _QUEUED.size))[0])
    except (AttributeError, OSError):
        return 0
