"""The abstract ControlDesk: what the owner of a local workspace does beside the flow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from bankmlops.types import AccessToken, AuditEntry, NewAccessToken, PrunedRuns, TokenScope


class ControlDesk(ABC):
    """What only the owner of a local workspace does: give tokens for its control server, read who did what, delete old runs.

    Azure has Microsoft Entra ID and its activity log for that.
    """

    @abstractmethod
    def create_token(self, name: str, scope: TokenScope, days: float | None) -> NewAccessToken:
        """A token that ends after `days` (None: when it is revoked), with its secret, which is told this once.

        Raises `InvalidRequestError`, and `ConflictError` where a token of this name lives.
        """

    @abstractmethod
    def list_tokens(self) -> Sequence[AccessToken]:
        """Every token, newest first; revoked ones too."""

    @abstractmethod
    def revoke_token(self, name: str) -> AccessToken:
        """End a token at once. Raises `NotFoundError`."""

    @abstractmethod
    def audit(self, limit: int) -> Sequence[AuditEntry]:
        """The newest entries of the audit log, the newest last. Raises `InvalidRequestError` for a limit that can't serve."""

    @abstractmethod
    def find_prunable_runs(self, days: float) -> PrunedRuns:
        """The pipeline runs that ended at least so many days ago and that nobody needs; at most 500 at once.

        Raises `InvalidRequestError`, and `BackendUnavailableError` where no control server runs.
        """

    @abstractmethod
    def prune_runs(self, days: float) -> PrunedRuns:
        """Delete them, with their files and results. Raises as `find_prunable_runs` does."""
