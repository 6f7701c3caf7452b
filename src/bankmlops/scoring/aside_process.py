"""A process beside a worker for what would block its event loop: reading thousands of rows holds Python's interpreter for long.

It is two. The keeper is forked by the worker before that has a thread, and only waits: it forks the process that does the work
when there is some, again where that one died, and ends it with the worker. Both hear from the worker through one socket: a
message for each request, with the socket that this request's body comes from and its answer goes to.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import select
import signal
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, NoReturn

from bankmlops.errors import InvalidRequestError
from bankmlops.scoring.forked import how_it_ended, live
from bankmlops.scoring.refusal import RefusedError, invalid

LENGTH = struct.Struct(">I")
_MESSAGE_BYTES = 256
_NICENESS = 5  # where cores are short, small requests come first
_LOOK_MILLISECONDS = 200
_LOG = logging.getLogger("bankmlops.scoring")


class Order(NamedTuple):
    """A request's size in bytes; whether its answer is JSON itself, and whether a sample of it is to be collected."""

    size: int
    plain: bool
    sampled: bool


class Answer(NamedTuple):
    """`body` is sent as it is; `sample` is a request of the first rows, if one is to be collected, and `result` their answer."""

    body: bytes
    rows: int
    exec_ms: float
    sample: bytes
    result: list[str] | list[list[float]]


Work = Callable[[bytes, Order], Answer]


def fork_keeper(work: Work, orders: socket.socket, without: tuple[socket.socket, ...]) -> int:
    """Fork the keeper, which hears from `orders` and closes the sockets `without`; answers its number.

    To be called before there is a thread.
    """
    pid = os.fork()
    if pid == 0:
        _live_as_keeper(work, orders, without)
    return pid


def _live_as_keeper(work: Work, orders: socket.socket, without: tuple[socket.socket, ...]) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # it ends with the worker, which finishes first what it was asked
    for each in without:
        each.close()
    live(partial(_keep, work, orders))


def _keep(work: Work, orders: socket.socket) -> int:
    """Until the worker has gone."""
    while _wait(orders, select.POLLIN):
        pid = os.fork()
        if pid == 0:
            live(partial(_carry_out, work, orders))
        status = _ended(pid, orders)
        if status is None:
            break
        _LOG.warning("the process for large requests is replaced: it ended %s", how_it_ended(status))
    return 0


def _wait(orders: socket.socket, event: int, milliseconds: int | None = None) -> bool:
    """Wait for an event on the socket, for ever or for a time; false where the worker has gone."""
    poll = select.poll()
    poll.register(orders, event)
    return not any(seen & select.POLLHUP for _, seen in poll.poll(milliseconds))


def _ended(pid: int, orders: socket.socket) -> int | None:
    """How the process ended; None where it was ended because the worker has gone."""
    while _wait(orders, 0, _LOOK_MILLISECONDS):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return status
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _carry_out(work: Work, orders: socket.socket) -> int:
    os.nice(_NICENESS)
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(orders, _MESSAGE_BYTES, 1)
        if not message:
            return 0
        order = Order(*json.loads(message))
        with socket.socket(fileno=descriptors[0]) as caller, suppress(OSError, EOFError):
            caller.sendall(_answered(work, _received(caller, order.size), order))


def _answered(work: Work, body: bytes, order: Order) -> bytes:
    """What became of it, in bytes."""
    try:
        return _framed(work(body, order))
    except InvalidRequestError as error:
        return _refused(invalid(str(error)))
    except RefusedError as error:
        return _refused(error)
    except Exception as error:
        _LOG.exception("a large request failed")
        return _frame({"failed": type(error).__name__})


def _framed(answer: Answer) -> bytes:
    head = {**answer._asdict(), "body": len(answer.body), "sample": len(answer.sample)}
    return b"".join([_frame({"answer": head}), answer.body, answer.sample])


def _refused(error: RefusedError) -> bytes:
    return _frame({"refused": {"status": error.status, "reason": error.reason, "message": error.message}})


def _frame(head: Mapping[str, Any]) -> bytes:
    content = json.dumps(head).encode()
    return LENGTH.pack(len(content)) + content


def _received(caller: socket.socket, size: int) -> bytes:
    """Raises `EOFError` where the worker closes before it is whole."""
    content = bytearray(size)
    rest = memoryview(content)
    while rest:
        count = caller.recv_into(rest)
        if not count:
            raise EOFError
        rest = rest[count:]
    return bytes(content)
