"""HTTP on kept-alive raw sockets, with so little code that the time it measures is the server's.

As a program it puts load on a port of this machine: the order comes on stdin, so that no key is ever an argument.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

HOST = "127.0.0.1"
PATIENCE_SECONDS = 30.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


def request(method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """The bytes of a request."""
    given = {"Host": HOST, **headers, "Content-Length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def answer_length(received: bytes | bytearray) -> int | None:
    """Bytes of the first answer in `received`, head included; None while its head is not there yet."""
    head = received.find(b"\r\n\r\n")
    if head < 0:
        return None
    if _CHUNKED.search(received, 0, head + 2):
        raise ValueError("the answer is chunked; this client reads a declared length alone")
    declared = _LENGTH.search(received, 0, head + 2)
    return head + 4 + (int(declared[1]) if declared else 0)


def says_close(received: bytes | bytearray) -> bool:
    """Whether the first answer in `received` is the last of its connection."""
    return bool(_CLOSE.search(received, 0, received.find(b"\r\n\r\n") + 2))


def connect(port: int) -> socket.socket:
    """A connection to a port of this machine."""
    connected = socket.create_connection((HOST, port), PATIENCE_SECONDS)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body, and the seconds from the first byte sent to the last one received."""

    status: int
    body: bytes
    seconds: float


class Connection:
    """One connection, kept alive where the server lets it be; a context manager."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = connect(port)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.close()

    def exchange(self, content: bytes) -> Answer:
        """Send a request, and read its answer to the end."""
        received = bytearray()
        started = time.perf_counter()
        self._socket.sendall(content)
        while (length := answer_length(received)) is None or len(received) < length:
            block = self._socket.recv(1 << 16)
            if not block:
                raise ConnectionError("the server closed the connection in the middle of an answer")
            received += block
        seconds = time.perf_counter() - started
        if says_close(received):
            self._socket.close()
            self._socket = connect(self._port)
        return Answer(int(received[9:12]), bytes(received[received.find(b"\r\n\r\n") + 4 :]), seconds)


class _Caller:
    """One of many connections: it asks again as soon as it was answered."""

    def __init__(self, selector: selectors.BaseSelector, port: int, content: bytes) -> None:
        self.times: list[float] = []
        self.failed = 0
        self._selector = selector
        self._port = port
        self._content = content
        self._received = bytearray()
        self._socket = self._connect()

    def ask(self) -> None:
        self._received.clear()
        self._started = time.perf_counter()
        self._socket.sendall(self._content)

    def hear(self) -> None:
        block = self._socket.recv(1 << 16)
        self._received += block
        length = answer_length(self._received)
        if length is not None and len(self._received) >= length:
            self.times.append(time.perf_counter() - self._started)
            self.failed += self._received[9:10] != b"2"
        elif block:
            return
        else:
            self.failed += 1
        if not block or says_close(self._received):
            self.close()
            self._socket = self._connect()
        self.ask()

    def close(self) -> None:
        self._selector.unregister(self._socket)
        self._socket.close()

    def _connect(self) -> socket.socket:
        connected = connect(self._port)
        self._selector.register(connected, selectors.EVENT_READ, self)
        return connected


def put_load(port: int, content: bytes, connections: int, seconds: float) -> dict[str, Any]:
    """Ask on every connection at once, each a request after the other, for a while; the answers' times."""
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        callers = [_Caller(selector, port, content) for _ in range(connections)]
        for caller in callers:
            stack.callback(caller.close)
        started = time.perf_counter()
        for caller in callers:
            caller.ask()
        while (elapsed := time.perf_counter() - started) < seconds:
            for key, _ in selector.select(seconds - elapsed):
                key.data.hear()
    times = sorted(spent for caller in callers for spent in caller.times)
    if not times:
        raise ConnectionError(f"no request was answered within {seconds:g} s")
    return {
        "requests": len(times),
        "failed": sum(caller.failed for caller in callers),
        "requests_per_second": len(times) / elapsed,
        "p50_ms": percentile(times, 50) * 1e3,
        "p99_ms": percentile(times, 99) * 1e3,
    }


def percentile(rising: Sequence[float], percent: int) -> float:
    """The value at that share of the sorted values."""
    return rising[min(len(rising) - 1, len(rising) * percent // 100)]


def main() -> None:
    """Carry out the order on stdin."""
    order = json.load(sys.stdin)
    found = put_load(order["port"], order["content"].encode("latin-1"), order["connections"], order["seconds"])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
