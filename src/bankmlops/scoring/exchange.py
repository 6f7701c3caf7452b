"""One request while it is answered: what was asked, and what the log and the metrics will say of it."""

from __future__ import annotations

import os
import time
from itertools import count

from bankmlops.scoring.asgi import Headers, Receive, Scope
from bankmlops.scoring.limits import Limits
from bankmlops.scoring.refusal import DisconnectedError, RefusedError, invalid, overloaded, too_large

MAX_ID = 100
AHEAD = "bankmlops.ahead"
_PREFIX = [""]
_NUMBERS = count(1)


def _begin_numbering() -> None:
    digits = os.urandom(10).hex()
    _PREFIX[0] = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:]}-"


_begin_numbering()
os.register_at_fork(after_in_child=_begin_numbering)  # each worker's ids are its own


class Exchange:
    """A request's headers and bookkeeping."""

    __slots__ = (
        "ahead", "client_request_id", "error", "exec_ms", "headers", "key", "method", "path", "reason",
        "request_bytes", "request_id", "rows", "scheme", "started", "timestamp",
    )  # fmt: skip

    def __init__(self, method: str, path: str, headers: dict[bytes, bytes], ahead: int = 0, scheme: str = "http") -> None:
        self.started = time.perf_counter()
        self.timestamp = time.time()
        self.method = method
        self.path = path
        self.scheme = scheme
        self.ahead = ahead
        self.headers = headers
        self.request_id = f"{_PREFIX[0]}{next(_NUMBERS):012x}"
        self.client_request_id = ""
        self.key = self.reason = self.error = ""
        self.rows = self.request_bytes = 0
        self.exec_ms = 0.0

    @classmethod
    def of(cls, scope: Scope) -> Exchange:
        """The one of an ASGI connection."""
        return cls(scope["method"], scope["path"], dict(scope["headers"]), scope.get(AHEAD, 0), scope["scheme"])

    def read_client_id(self) -> None:
        """Take the caller's own id, which is echoed and logged. Raises `RefusedError` where it is too long, or no plain text."""
        given = self.headers.get(b"x-ms-client-request-id") or self.headers.get(b"x-ms-request-id")
        if given is None:
            return
        if len(given) > MAX_ID:
            message = f"x-ms-request-id and x-ms-client-request-id must not exceed {MAX_ID} characters"
            raise RefusedError(431, "invalid", message)
        if not given.isascii() or not given.decode("ascii").isprintable():
            raise invalid("x-ms-client-request-id must be printable ASCII")
        self.client_request_id = given.decode("ascii")

    def identity(self) -> Headers:
        """The headers that tell the caller which request this was."""
        given = self.client_request_id
        request_id = (b"x-ms-request-id", (given or self.request_id).encode())
        own = (b"x-request-id", self.request_id.encode())
        return (own, request_id, (b"x-ms-client-request-id", given.encode())) if given else (own, request_id)

    def refuse(self, refused: RefusedError) -> RefusedError:
        """Note why it was turned away."""
        self.reason = refused.reason
        self.error = refused.message.partition(":")[0].partition(";")[0]  # what follows may quote the caller's data
        return refused

    def elapsed_ms(self) -> float:
        """Since the head had arrived."""
        return (time.perf_counter() - self.started) * 1e3


async def left(receive: Receive) -> None:
    """Wait until the caller, whose body was read, has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


class BodyReader:
    """Reads bodies within the limit of one and within the limit of all together, counting bytes as they come."""

    def __init__(self, limits: Limits) -> None:
        self.buffered = 0
        self._limits = limits

    async def read(self, exchange: Exchange, receive: Receive) -> list[bytes]:
        """The whole body, in the pieces that it came in. Raises `RefusedError` 413 or 503, and `DisconnectedError`."""
        self._check_declared(exchange.headers.get(b"content-length"))
        pieces: list[bytes] = []
        more = True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise DisconnectedError
                pieces.append(message.get("body", b""))
                more = message.get("more_body", False)
                exchange.request_bytes += len(pieces[-1])
                self.buffered += len(pieces[-1])
                self._check_size(exchange.request_bytes)
        finally:
            self.buffered -= exchange.request_bytes
        return pieces

    def _check_declared(self, length: bytes | None) -> None:
        if length is not None and length.isdigit() and int(length[:20]) > self._limits.body_bytes:
            raise too_large(self._limits.body_bytes)

    def _check_size(self, size: int) -> None:
        if size > self._limits.body_bytes:
            raise too_large(self._limits.body_bytes)
        if self.buffered > self._limits.buffered_bytes:
            raise overloaded("too many large requests arrive at once: try again")
