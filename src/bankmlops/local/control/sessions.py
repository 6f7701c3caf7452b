"""Sessions of browsers, which must not hold a token: a cookie that page scripts can't read, opened by a token or a one-time code.

They live in the server's memory alone: a restart ends them. A code is told to a browser in the part of a URL after `#`, which is
never sent, so it stands in no log; it opens one session, within a minute.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable

SESSION_SECONDS = 12 * 3600.0
CODE_SECONDS = 60.0
_MAXIMUM_SESSIONS = 100
_MAXIMUM_CODES = 20


class _Tickets:
    """Secrets, kept as hashes, that stand for a token's id until they run out; the oldest make room for new ones."""

    def __init__(self, seconds: float, maximum: int, clock: Callable[[], float]) -> None:
        self._seconds, self._maximum, self._clock = seconds, maximum, clock
        self._known: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def issue(self, token_id: str) -> str:
        secret = secrets.token_urlsafe(32)
        with self._lock:
            while len(self._known) >= self._maximum:
                self._known.pop(next(iter(self._known)))
            self._known[_hash(secret)] = (token_id, self._clock() + self._seconds)
        return secret

    def find(self, secret: str) -> str | None:
        with self._lock:
            return self._alive(self._known.get(_hash(secret)))

    def take(self, secret: str) -> str | None:
        with self._lock:
            return self._alive(self._known.pop(_hash(secret), None))

    def _alive(self, found: tuple[str, float] | None) -> str | None:
        return found[0] if found is not None and found[1] > self._clock() else None


class Sessions:
    """The sessions and codes of one server. A token's id is empty for the workspace's own token."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._sessions = _Tickets(SESSION_SECONDS, _MAXIMUM_SESSIONS, clock)
        self._codes = _Tickets(CODE_SECONDS, _MAXIMUM_CODES, clock)

    def issue_code(self, token_id: str) -> str:
        """A code that opens one session, within a minute."""
        return self._codes.issue(token_id)

    def redeem_code(self, code: str) -> str | None:
        """The token's id that a code stands for; the code is spent. None for one that is unknown, spent or too old."""
        return self._codes.take(code)

    def open(self, token_id: str) -> str:
        """The secret of a new session, which its cookie carries."""
        return self._sessions.issue(token_id)

    def find(self, secret: str) -> str | None:
        """The token's id that the session was opened with; None where there is no such session any more."""
        return self._sessions.find(secret)

    def close(self, secret: str) -> None:
        """End a session (idempotent)."""
        self._sessions.take(secret)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
