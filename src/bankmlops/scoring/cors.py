"""Which origins' pages a browser lets call the service (Fetch Standard, "CORS protocol"): those that the deployment names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bankmlops.errors import InvalidRequestError
from bankmlops.scoring.asgi import Headers

MAXIMUM_ORIGINS = 50
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_ANY = "*"
_METHODS = b"GET, HEAD, OPTIONS, POST"
_REQUEST_HEADERS = b"authorization, content-type, traceparent, x-ms-client-request-id, x-ms-request-id"
_ANSWER_HEADERS = b"retry-after, x-ms-client-request-id, x-ms-request-id, x-ms-run-fn-exec-ms, x-request-id"
_CACHED_SECONDS = b"600"


def check_origins(origins: Sequence[object]) -> tuple[str, ...]:
    """The origins, each "*" or such as "https://app.example.org". Raises `InvalidRequestError` for anything else."""
    if len(origins) > MAXIMUM_ORIGINS:
        raise InvalidRequestError(f"cors_origins: at most {MAXIMUM_ORIGINS} would serve")
    for origin in origins:
        if not isinstance(origin, str) or not (origin == _ANY or _ORIGIN.fullmatch(origin)):
            raise InvalidRequestError(
                f'cors_origins: {str(origin)[:60]!r} is no origin; "https://app.example.org" or "*" would serve'
            )
    return tuple(map(str, origins))


class Cors:
    """The headers that tell a browser what is allowed. Keys travel in a header that the page sets, so no credentials mode."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)
        self._any = _ANY in origins

    def headers(self, asked: dict[bytes, bytes]) -> Headers:
        """What goes with every answer to a request with these headers."""
        if self._any:
            return ((b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", _ANSWER_HEADERS))
        origin = asked.get(b"origin", b"")
        if origin not in self._origins:
            return ((b"vary", b"origin"),)
        return (
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _ANSWER_HEADERS),
            (b"vary", b"origin"),
        )

    def preflight(self) -> Headers:
        """What a browser is told besides, when it asks before it sends."""
        return (
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _REQUEST_HEADERS),
            (b"access-control-max-age", _CACHED_SECONDS),
        )
