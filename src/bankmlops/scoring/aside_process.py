"""A process beside a worker for what would block its event loop: reading thousands of rows holds Python's interpreter for long.

It is two. The keeper is forked by the worker before that has a thread, and only waits: it forks the process that does the work
when there is some, again where that one died, and ends it with the worker. Both hear from the worker through one socket: a
message for each request, with the socket that this request's body comes from and its answer goes to, after the word that it is
begun.

A request that nobody waits for any more is not begun, and one that takes too long ends the process, whatever code that is in.
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
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple, NoReturn

from bankmlops.errors import InvalidRequestError
from bankmlops.scoring.forked import end_with, how_it_ended, live
from bankmlops.scoring.refusal import RefusedError, invalid

LENGTH = struct.Struct(">I")
BEGUN = {"begun": True}
_MESSAGE_BYTES = 256
_NICENESS = 5  # where cores are short, small requests come first
_PAUSE_SECONDS = 1.0
_GRACE_SECONDS = 1.0  # for work that looks at the time itself
_LONGEST_SECONDS = 1e9  # a timer takes no more than some hundred years
_LOG = logging.getLogger("bankmlops.scoring")


class Order(NamedTuple):
    """A request's size in bytes; whether its answer is JSON itself, and whether a sample of it is to be collected.

    `seconds` is for how long its caller waits at most.
    """

    size: int
    plain: bool
    sampled: bool
    seconds: float


class Answer(NamedTuple):
    """`body` is sent as it is; `sample` is a request of the first rows, if one is to be collected, and `result` their answer."""

    body: bytes
    rows: int
    exec_ms: float
    sample: bytes
    result: list[str] | list[list[float]]


Work = Callable[[bytes, Order], Answer]


def fork_keeper(name: str, work: Work, orders: socket.socket, without: tuple[socket.socket, ...]) -> int:
    """Fork the keeper, which hears from `orders` and closes the sockets `without`; answers its number.

    `name` is what the requests are, for the log. To be called before there is a thread. Raises `OSError`.
    """
    pid = os.fork()
    if pid == 0:
        _live_as_keeper(name, work, orders, without)
    return pid


def _live_as_keeper(name: str, work: Work, orders: socket.socket, without: tuple[socket.socket, ...]) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # it ends with the worker, which finishes first what it was asked
    for each in without:
        each.close()
    live(partial(_keep, name, work, orders))


def _keep(name: str, work: Work, orders: socket.socket) -> int:
    """Until the worker has gone."""
    carry_out = partial(_carry_out, work, orders, os.getpid())
    while _wait(orders, select.POLLIN):
        try:
            pid, alive = _forked(carry_out)
        except OSError as error:  # the machine has no room for it now
            _LOG.warning("the process for %s can't be started: %s", name, error.strerror)
            time.sleep(_PAUSE_SECONDS)
            continue
        status = _ended(pid, alive, orders)
        if status is None:
            break
        _LOG.warning("the process for %s is replaced: it ended %s", name, how_it_ended(status))
    return 0


def _forked(work: Callable[[], int]) -> tuple[int, int]:
    """A process, and a descriptor that hangs up when it ends. Raises `OSError`."""
    alive, its_own = os.pipe()
    try:
        pid = os.fork()
        if pid == 0:
            live(work)
    except OSError:
        os.close(alive)
        raise
    finally:
        os.close(its_own)
    return pid, alive


def _wait(other: socket.socket, event: int, milliseconds: int | None = None) -> bool:
    """Wait for an event on the socket, for ever or for a time; false where who has its other end has gone."""
    poll = select.poll()
    poll.register(other, event)
    return not any(seen & select.POLLHUP for _, seen in poll.poll(milliseconds))


def _ended(pid: int, alive: int, orders: socket.socket) -> int | None:
    """How the process ended; None where it was ended because the worker has gone."""
    poll = select.poll()
    poll.register(orders, 0)
    poll.register(alive, 0)
    gone = [each for each, _ in poll.poll()]
    os.close(alive)
    if orders.fileno() in gone:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return None if orders.fileno() in gone else status


def _carry_out(work: Work, orders: socket.socket, keeper: int) -> int:
    end_with(keeper)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    os.nice(_NICENESS)
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(orders, _MESSAGE_BYTES, 1)
        if not message:
            return 0
        order = Order(*json.loads(message))
        with socket.socket(fileno=descriptors[0]) as caller, suppress(OSError, EOFError):
            body = _received(caller, order.size)
            if _wait(caller, 0, 0):
                caller.sendall(_frame(BEGUN))
                caller.sendall(_answered(work, body, order))


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """SIGALRM ends the process where it is inside for longer."""
    signal.setitimer(signal.ITIMER_REAL, min(seconds, _LONGEST_SECONDS))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _answered(work: Work, body: bytes, order: Order) -> bytes:
    """What became of it, in bytes."""
    try:
        with _at_most(order.seconds + _GRACE_SECONDS):
            return _framed(work(body, order))
    except InvalidRequestError as error:
        return _refused(invalid(str(error)))
    except RefusedError as error:
        return _refused(error)
    except Exception as error:
        _LOG.exception("a request failed")
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
