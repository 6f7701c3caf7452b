"""Where recorded requests can be sent: what a destination does, whatever its wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from bankmlops.errors import InvalidRequestError
from bankmlops.insights.recorded import RecordedRequest


@dataclass(frozen=True, slots=True)
class Message:
    """A POST. The headers may hold a secret, and so may the body: neither is in a repr."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the receiver did: how many it refused for good and why, and the places of those that may be sent again."""

    refused: int = 0
    reason: str = ""
    again: tuple[int, ...] = ()


class Destination(Protocol):
    """One receiver."""

    @property
    def address(self) -> str:
        """Where it is, without any secret."""

    @property
    def retried(self) -> frozenset[int]:
        """The statuses after which the same may be sent again."""

    def message(self, endpoint: str, requests: Sequence[RecordedRequest]) -> Message:
        """What is to be sent of an endpoint's requests."""

    def verdict(self, body: bytes) -> Verdict:
        """What an answer of status 200 or 206 says. Raises `ValueError` where it is none."""


def checked_url(url: str, what: str) -> str:
    """The address of a receiver. Raises `InvalidRequestError` for one that is none, or holds a password or a query."""
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        has_host = False
    if not has_host or parts.scheme not in ("http", "https"):
        raise InvalidRequestError(f"{what}: an address such as https://collector.example.org:4318 would serve")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise InvalidRequestError(f"{what}: no user, password, query or fragment may be in the address; secrets go into headers")
    return url.rstrip("/")
