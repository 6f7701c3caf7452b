"""Who may call the control server, and who did what."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class TokenScope(StrEnum):
    """What a token of the control server opens.

    `TRIGGER` opens what `READ` does and triggers, `FEEDBACK` the door for true labels alone, `ADMIN` everything.
    """

    READ = "read"
    TRIGGER = "trigger"
    FEEDBACK = "feedback"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token of the control server without its secret, which is kept nowhere; `expires` is None where it never does."""

    id: str
    name: str
    scope: TokenScope
    created: datetime
    expires: datetime | None = None
    last_used: datetime | None = None
    revoked: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewAccessToken:
    """A token that was just made, with the secret that is told this once."""

    token: AccessToken
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit log: `actor` ("token ci", "user ada") did `action` to `subject`, asked from `origin`."""

    moment: datetime
    actor: str
    action: str
    subject: str
    origin: str
    detail: str = ""
