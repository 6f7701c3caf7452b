"""A worker's end of a process beside it: the event loop only passes bytes, so that small requests keep their latency."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bankmlops.errors import ConflictError
from bankmlops.scoring.aside_process import BEGUN, LENGTH, Answer, Order, Work, fork_keeper
from bankmlops.scoring.refusal import RefusedError, overloaded

_TOO_MANY = "too many requests are open: try again"


class Request(NamedTuple):
    """A body in pieces; whether its answer is JSON itself, and whether a sample of it is to be collected."""

    pieces: Sequence[bytes]
    plain: bool = False
    sampled: bool = False


class Aside:
    """The process, which answers one request after the other. To be used from the event loop alone, but for `start`."""

    def __init__(self, name: str, orders: socket.socket, keeper: int) -> None:
        self.name = name
        self.orders = orders
        self._keeper = keeper

    @classmethod
    def start(cls, name: str, work: Work, *without: socket.socket) -> Aside:
        """Fork the process, which keeps none of the sockets `without`; `name` is what the requests are, for people.

        To be called before there is a thread. Raises `ConflictError` where the system gives no process.
        """
        try:
            return cls._started(name, work, without)
        except OSError as error:
            raise ConflictError(f"no process for {name} can be started: {error.strerror}") from error

    @classmethod
    def _started(cls, name: str, work: Work, without: tuple[socket.socket, ...]) -> Aside:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                keeper = fork_keeper(name, work, theirs, (ours, *without))
            except OSError:
                ours.close()
                raise
        ours.setblocking(False)
        return cls(name, ours, keeper)

    async def answer(self, request: Request, seconds: float, on_begun: Callable[[], None] = lambda: None) -> Answer:
        """Hand a request over and wait for its answer. Raises `RefusedError`; 503 where the process dies over it.

        `on_begun` is called when those that were ahead are done with.
        Where the wait is cancelled the request is not begun any more; work on it ends the process soon after `seconds`.
        """
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise overloaded(_TOO_MANY) from error
        ours.setblocking(False)
        with ours:
            with theirs:
                self._order(request, seconds, theirs)
            try:
                for piece in request.pieces:
                    await asyncio.get_running_loop().sock_sendall(ours, piece)
                return await _answer(ours, on_begun)
            except (OSError, EOFError) as error:
                raise self._ended() from error

    def close(self) -> None:
        """End the process, whatever it does."""
        self.orders.close()
        os.waitpid(self._keeper, 0)

    def _ended(self) -> RefusedError:
        return overloaded(f"the process for {self.name} has ended: try again")

    def _order(self, request: Request, seconds: float, theirs: socket.socket) -> None:
        order = Order(sum(map(len, request.pieces)), request.plain, request.sampled, seconds)
        try:
            socket.send_fds(self.orders, [json.dumps(order).encode()], [theirs.fileno()])
        except ConnectionError as error:  # its keeper was killed too, which can't be mended here: another worker takes the place
            os.kill(os.getpid(), signal.SIGTERM)
            raise self._ended() from error
        except OSError as error:
            raise overloaded(_TOO_MANY) from error


async def _answer(ours: socket.socket, on_begun: Callable[[], None]) -> Answer:
    head = await _head(ours)
    if head == BEGUN:
        on_begun()
        head = await _head(ours)
    if "refused" in head:
        raise RefusedError(**head["refused"])
    if "failed" in head:
        raise RuntimeError(f"a request failed: {head['failed']}")
    answer = head["answer"]
    body = await _received(ours, answer["body"])
    sample = await _received(ours, answer["sample"])
    return Answer(**{**answer, "body": body, "sample": sample})


async def _head(ours: socket.socket) -> dict[str, Any]:
    (size,) = LENGTH.unpack(await _received(ours, LENGTH.size))
    head: dict[str, Any] = json.loads(await _received(ours, size))
    return head


async def _received(ours: socket.socket, size: int) -> bytes:
    """Raises `EOFError` where the process ends before it is whole."""
    content, loop = bytearray(size), asyncio.get_running_loop()
    rest = memoryview(content)
    while rest:
        count = await loop.sock_recv_into(ours, rest)
        if not count:
            raise EOFError
        rest = rest[count:]
    return bytes(content)
