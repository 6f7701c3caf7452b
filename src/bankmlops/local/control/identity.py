"""Who calls the control server: the workspace's own token, a token that somebody was given, or a browser's session of either."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from types import MappingProxyType

from bankmlops.errors import NotFoundError
from bankmlops.local.control.sessions import Sessions
from bankmlops.local.control.tokens import PREFIX, ControlTokens
from bankmlops.types import TokenScope

_SCHEME = "Bearer "
_OPENS = MappingProxyType(
    {
        TokenScope.READ: frozenset({TokenScope.READ}),
        TokenScope.TRIGGER: frozenset({TokenScope.READ, TokenScope.TRIGGER}),
        TokenScope.FEEDBACK: frozenset({TokenScope.FEEDBACK}),
        TokenScope.ADMIN: frozenset(TokenScope),
    }
)


@dataclass(frozen=True, slots=True)
class Caller:
    """`name` is how the audit log calls it; `token_id` is empty for the workspace's own token."""

    name: str
    scope: TokenScope
    token_id: str = ""

    def may(self, scope: TokenScope) -> bool:
        """Whether its scope opens what wants `scope`."""
        return scope in _OPENS[self.scope]


OWNER = Caller("workspace token", TokenScope.ADMIN)


class Authenticator:
    """Turns what a request brings into its caller, or None. Reads the workspace's database, so it belongs in a thread."""

    def __init__(self, own_token: str, tokens: ControlTokens, sessions: Sessions) -> None:
        self._own = own_token.encode()
        self._tokens = tokens
        self._sessions = sessions

    def by_bearer(self, header: str) -> Caller | None:
        """The caller of an `Authorization` header."""
        secret = header.removeprefix(_SCHEME)
        if secret == header:
            return None
        if hmac.compare_digest(secret.encode("latin-1", "replace"), self._own):
            return OWNER
        token = self._tokens.authenticate(secret) if secret.startswith(PREFIX) else None
        return Caller(f"token {token.name}", token.scope, token.id) if token else None

    def by_session(self, secret: str) -> Caller | None:
        """The caller of a session's cookie, while the token that opened the session lives."""
        token_id = self._sessions.find(secret)
        if token_id is None:
            return None
        if not token_id:
            return OWNER
        try:
            token = self._tokens.get(token_id)
        except NotFoundError:
            return None
        return Caller(f"token {token.name}", token.scope, token.id) if self._tokens.lives(token) else None
