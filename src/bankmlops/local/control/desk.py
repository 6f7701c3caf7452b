"""What only the owner of a workspace does with its control server: give tokens, read who did what, delete old runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bankmlops.control_desk import ControlDesk
from bankmlops.errors import InvalidRequestError
from bankmlops.local.control.audit import MAXIMUM_ENTRIES, AuditLog
from bankmlops.local.control.client import ControlClient
from bankmlops.local.control.files import ControlFiles
from bankmlops.local.control.tokens import ControlTokens
from bankmlops.local.pipelines.documents import from_document
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import AccessToken, AuditEntry, NewAccessToken, PrunedRuns, TokenScope


class LocalControlDesk(ControlDesk):
    """One workspace's tokens and audit log, for which the server need not run, and its old runs, for which it must."""

    def __init__(self, folder: Path) -> None:
        workspace = LocalWorkspace(folder)
        self._tokens = ControlTokens(workspace)
        self._audit = AuditLog(workspace)
        self._client = ControlClient(ControlFiles(workspace))

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

    def find_prunable_runs(self, days: float) -> PrunedRuns:
        """The old pipeline runs that nobody needs, as the control server finds them."""
        return from_document(PrunedRuns, self._client.get(f"/old-runs?days={days:g}"))

    def prune_runs(self, days: float) -> PrunedRuns:
        """Have the control server delete them."""
        return from_document(PrunedRuns, self._client.post("/old-runs/prune", {"days": days}))
