"""What only the owner of a workspace does with its control server: give tokens, take them back, and read who did what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bankmlops.control_desk import ControlDesk
from bankmlops.errors import InvalidRequestError
from bankmlops.local.control.audit import MAXIMUM_ENTRIES, AuditLog
from bankmlops.local.control.tokens import ControlTokens
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import AccessToken, AuditEntry, NewAccessToken, TokenScope


class LocalControlDesk(ControlDesk):
    """One workspace's tokens and audit log; the server need not run."""

    def __init__(self, folder: Path) -> None:
        workspace = LocalWorkspace(folder)
        self._tokens = ControlTokens(workspace)
        self._audit = AuditLog(workspace)

    def create_token(self, name: str, scope: TokenScope, days: float | None) -> NewAccessToken:
        """A token with its secret, which is told this once. Raises as `ControlTokens.create` does."""
        made = self._tokens.create(name, scope, days)
        self._audit.record_own("create token", f"token {name}", f"scope {scope}")
        return made

    def list_tokens(self) -> Sequence[AccessToken]:
        """Every token, newest first; revoked ones too."""
        return self._tokens.list()

    def revoke_token(self, name: str) -> AccessToken:
        """End a token at once. Raises `NotFoundError`."""
        revoked = self._tokens.revoke(name)
        self._audit.record_own("revoke token", f"token {revoked.name}")
        return revoked

    def audit(self, limit: int) -> Sequence[AuditEntry]:
        """The newest entries of the audit log, the newest last. Raises `InvalidRequestError` for a limit that can't serve."""
        if not 1 <= limit <= MAXIMUM_ENTRIES:
            raise InvalidRequestError(f"--last {limit} can't serve; give 1 to {MAXIMUM_ENTRIES:,}")
        return self._audit.newest(limit)
