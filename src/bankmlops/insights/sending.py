"""Sends recorded requests to a receiver: again after what may pass, for a bounded time, and never what it has taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import httpx

from bankmlops.errors import AuthenticationError, BackendUnavailableError, InvalidRequestError
from bankmlops.insights.destination import Destination, Message, Verdict
from bankmlops.insights.recorded import RecordedRequest

ATTEMPTS = 6
LONGEST_PAUSE_SECONDS = 30.0
TIMEOUT_SECONDS = 10.0
_MAXIMUM_ANSWER = 256 * 1024
_TAKEN = frozenset({200, 202, 206})


class Sender:
    """Sends to one destination. `pause` waits for so many seconds."""

    def __init__(self, destination: Destination, client: httpx.Client, pause: Callable[[float], None] = time.sleep) -> None:
        self._destination = destination
        self._client = client
        self._pause = pause

    def send(self, endpoint: str, requests: Sequence[RecordedRequest]) -> Verdict:
        """Hand all of them on; says how many were refused for good, and why.

        Raises `BackendUnavailableError` where the receiver doesn't take them after `ATTEMPTS`, `AuthenticationError` where it
        wants another key, and `InvalidRequestError` where it understands nothing of it.
        """
        left, refused, reason = list(requests), 0, ""
        for attempt in range(ATTEMPTS):
            verdict, seconds = self._post(self._destination.message(endpoint, left))
            if verdict is not None:
                refused, reason = refused + verdict.refused, verdict.reason or reason
                left = [left[place] for place in verdict.again if 0 <= place < len(left)]
                if not left:
                    return Verdict(refused, reason)
            if attempt + 1 < ATTEMPTS:
                self._pause(min(max(seconds, 2.0**attempt), LONGEST_PAUSE_SECONDS))
        raise BackendUnavailableError(f"{self._destination.address} does not take what is sent to it; try again later")

    def _post(self, message: Message) -> tuple[Verdict | None, float]:
        """What it did, or None where it may be asked again, and the seconds that it wants to be left alone for."""
        try:
            with self._client.stream("POST", message.url, headers=dict(message.headers), content=message.body) as response:
                return self._judged(response)
        except httpx.HTTPError:
            return None, 0.0

    def _judged(self, response: httpx.Response) -> tuple[Verdict | None, float]:
        address, status = self._destination.address, response.status_code
        if status in _TAKEN:
            try:
                return self._destination.verdict(_body(response)), 0.0
            except (ValueError, KeyError, TypeError) as error:
                raise InvalidRequestError(f"{address} answers as no such receiver does; check the address") from error
        if status in self._destination.retried:
            after = response.headers.get("retry-after", "")
            return None, float(after) if after.isdecimal() and len(after) < 6 else 0.0
        if status in (401, 403):
            raise AuthenticationError(f"{address} answers {status}: it wants another key")
        raise InvalidRequestError(f"{address} answers {status}; check the address")


def _body(response: httpx.Response) -> bytes:
    content = b""
    for block in response.iter_bytes():
        content += block
        if len(content) > _MAXIMUM_ANSWER:
            raise ValueError("the answer is too long")
    return content
