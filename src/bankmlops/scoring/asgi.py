"""The few ASGI words that the service speaks, so that no web framework stands between the socket and the model."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any, NamedTuple

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

STATUS_LINE = {status.value: b"HTTP/1.1 %d %b" % (status.value, status.phrase.encode()) for status in HTTPStatus}
JSON: Headers = ((b"content-type", b"application/json"),)
TEXT: Headers = ((b"content-type", b"text/plain; charset=utf-8"),)


class Response(NamedTuple):
    """A whole answer; `headers` without the length, which `send_response` adds."""

    status: int
    headers: Headers
    body: bytes


def json_response(document: object, status: int = 200) -> Response:
    """A document as compact JSON."""
    return Response(status, JSON, json.dumps(document, separators=(",", ":")).encode())


def text_response(text: str, status: int = 200) -> Response:
    """A line of plain text."""
    return Response(status, TEXT, text.encode())


def head_bytes(response: Response, extra: Headers = ()) -> bytes:
    """Status line and headers as they go over the wire, each line ended, without the empty one behind them.

    The values are ours, or were found to hold no control character.
    """
    lines = [STATUS_LINE[response.status], b"content-length: %d" % len(response.body)]
    lines += [name + b": " + value for name, value in response.headers + extra]
    return b"\r\n".join([*lines, b""])


async def send_response(send: Send, response: Response, extra: Headers = ()) -> None:
    """Put the answer on the wire."""
    length = (b"content-length", b"%d" % len(response.body))
    await send({"type": "http.response.start", "status": response.status, "headers": [*response.headers, length, *extra]})
    await send({"type": "http.response.body", "body": response.body})
