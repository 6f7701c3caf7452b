"""Every bound that the service keeps, in one value: sizes, times and queues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from bankmlops.errors import InvalidRequestError

_ENDLESS = 2**40


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one worker: bytes, rows, counts and seconds."""

    body_bytes: int = 8 * 2**20
    rows: int = 20_000
    explained_rows: int = 10
    header_bytes: int = 16 * 2**10
    inline_bytes: int = 32 * 2**10
    buffered_bytes: int = 64 * 2**20
    queued_batches: int = 8
    waiting_requests: int = 256
    waiting_seconds: float = 1.0
    connections: int = 1000
    head_seconds: float = 10.0
    request_seconds: float = 60.0
    scoring_seconds: float = 30.0
    keep_alive_seconds: float = 30.0
    linger_seconds: float = 0.3
    drain_seconds: float = 20.0

    @classmethod
    def read(cls, document: object) -> Limits:
        """Defaults, overlaid with an object of positive numbers, whole ones for what is counted. Raises `InvalidRequestError`."""
        if not isinstance(document, Mapping):
            raise InvalidRequestError("service.json: limits must be an object")
        known = {field.name: type(field.default) for field in fields(cls)}
        for name, value in document.items():
            if name not in known:
                raise InvalidRequestError(f"service.json: limits: {name} is not one of {', '.join(sorted(known))}")
            if isinstance(value, bool) or not isinstance(value, (int, known[name])) or not 0 < value < _ENDLESS:
                kind = "whole number" if known[name] is int else "number"
                raise InvalidRequestError(f"service.json: limits: {name} must be a positive {kind}")
        return cls(**document)
