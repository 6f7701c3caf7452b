"""The access tokens of a control server: 256 random bits, of which the workspace keeps the sha256 alone.

Every request reads the table, so a token that is revoked, in whatever process, opens nothing from that moment on.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from sqlite3 import IntegrityError, Row

from bankmlops.errors import ConflictError, InvalidRequestError, NotFoundError
from bankmlops.local.json_columns import time_of
from bankmlops.local.names import check_name
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import AccessToken, NewAccessToken, TokenScope

PREFIX = "bmt_"
_MAXIMUM_LIVING = 100
_MAXIMUM_DAYS = 3650
_USE_IS_NOTED_EVERY = timedelta(minutes=1)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ControlTokens:
    """Reads and writes the table `access_tokens`; any process may."""

    def __init__(self, workspace: LocalWorkspace, now: Callable[[], datetime] = _utc_now) -> None:
        self._workspace = workspace
        self._now = now

    def create(self, name: str, scope: TokenScope, days: float | None = None) -> NewAccessToken:
        """Make a token that lives for `days` (None: until it is revoked). Raises `ConflictError` where the name lives already."""
        check_name("token name", name)
        created = self._now()
        expires = _expiry(created, days)
        secret = PREFIX + secrets.token_urlsafe(32)
        token = AccessToken(str(uuid.uuid4()), name, scope, created, expires)
        with self._workspace.lock("access-tokens"):
            self._refuse_crowd()
            self._insert(token, _hash(secret))
        return NewAccessToken(token, secret)

    def list(self) -> Sequence[AccessToken]:
        """Every token, revoked ones too, newest first."""
        with self._workspace.database() as database:
            rows = database.execute("SELECT * FROM access_tokens ORDER BY created DESC, rowid DESC").fetchall()
        return [_token(row) for row in rows]

    def revoke(self, name: str) -> AccessToken:
        """End the living token of this name, or id, at once. Raises `NotFoundError`."""
        found = next((each for each in self.list() if name in (each.name, each.id) and each.revoked is None), None)
        if found is None:
            raise NotFoundError(f"there is no living token {name!r}; `bankmlops tokens list` lists them")
        with self._workspace.database() as database:
            database.execute("UPDATE access_tokens SET revoked = ? WHERE id = ?", (self._now().isoformat(), found.id))
        return self.get(found.id)

    def get(self, token_id: str) -> AccessToken:
        """One token. Raises `NotFoundError`."""
        with self._workspace.database() as database:
            row = database.execute("SELECT * FROM access_tokens WHERE id = ?", (token_id,)).fetchone()
        if row is None:
            raise NotFoundError(f"there is no token {token_id!r}")
        return _token(row)

    def authenticate(self, secret: str) -> AccessToken | None:
        """The token that opens with this secret, its use noted; None where none does any more.

        Each living token's hash is compared, in constant time.
        """
        given = _hash(secret)
        with self._workspace.database() as database:
            rows = database.execute("SELECT * FROM access_tokens WHERE revoked IS NULL").fetchall()
        opened = [row for row in rows if hmac.compare_digest(row["sha256"], given)]
        if not opened or not self.lives(_token(opened[0])):
            return None
        token = _token(opened[0])
        self._note_use(token)
        return token

    def lives(self, token: AccessToken) -> bool:
        """Whether it is neither revoked nor expired."""
        return token.revoked is None and (token.expires is None or token.expires > self._now())

    def _note_use(self, token: AccessToken) -> None:
        now = self._now()
        if token.last_used is None or now - token.last_used >= _USE_IS_NOTED_EVERY:
            with self._workspace.database() as database:
                database.execute("UPDATE access_tokens SET last_used = ? WHERE id = ?", (now.isoformat(), token.id))

    def _refuse_crowd(self) -> None:
        if sum(each.revoked is None for each in self.list()) >= _MAXIMUM_LIVING:
            raise ConflictError(f"{_MAXIMUM_LIVING} tokens live already; revoke one with `bankmlops tokens revoke NAME`")

    def _insert(self, token: AccessToken, sha256: str) -> None:
        expires = token.expires.isoformat() if token.expires else None
        try:
            with self._workspace.database() as database:
                database.execute(
                    "INSERT INTO access_tokens (id, name, sha256, scope, created, expires) VALUES (?, ?, ?, ?, ?, ?)",
                    (token.id, token.name, sha256, token.scope.value, token.created.isoformat(), expires),
                )
        except IntegrityError:
            raise ConflictError(f"a token {token.name!r} lives already; revoke it first, or choose another name") from None


def _expiry(created: datetime, days: float | None) -> datetime | None:
    if days is None:
        return None
    if not 0 < days <= _MAXIMUM_DAYS:
        raise InvalidRequestError(f"a token can't expire in {days:g} days; give more than 0 and at most {_MAXIMUM_DAYS}")
    return created + timedelta(days=days)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _token(row: Row) -> AccessToken:
    created = datetime.fromisoformat(row["created"])
    times = (time_of(row["expires"]), time_of(row["last_used"]), time_of(row["revoked"]))
    return AccessToken(row["id"], row["name"], TokenScope(row["scope"]), created, *times)
