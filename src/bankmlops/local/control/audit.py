"""The audit log of a workspace: who did what to which thing, when, and from where. Entries are added, never rewritten.

It is a table of `state.db` (0600), so that every process of the workspace writes to it in one order; the oldest entries leave
when there are more than `MAXIMUM_ENTRIES`.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from datetime import datetime

from bankmlops.local.json_columns import now_text
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import AuditEntry

MAXIMUM_ENTRIES = 100_000
_LONGEST_TEXT = 300
_TRIMMED_EVERY = 100


class AuditLog:
    """Reads and appends to the table `audit_log`."""

    def __init__(self, workspace: LocalWorkspace) -> None:
        self._workspace = workspace

    def record(self, actor: str, action: str, subject: str, origin: str, detail: str = "") -> None:
        """Append an entry; each text is cut at 300 characters."""
        texts = [text[:_LONGEST_TEXT] for text in (actor, action, subject, origin, detail)]
        with self._workspace.database() as database:
            number = database.execute(
                "INSERT INTO audit_log (moment, actor, action, subject, origin, detail) VALUES (?, ?, ?, ?, ?, ?)",
                (now_text(), *texts),
            ).lastrowid
            if number is not None and number % _TRIMMED_EVERY == 0:
                database.execute("DELETE FROM audit_log WHERE number <= ?", (number - MAXIMUM_ENTRIES,))

    def record_own(self, action: str, subject: str, detail: str = "") -> None:
        """Append what this process did for the person who runs it."""
        self.record(f"user {_user()}", action, subject, f"process {os.getpid()}", detail)

    def newest(self, limit: int) -> Sequence[AuditEntry]:
        """The newest entries, oldest of them first."""
        with self._workspace.database() as database:
            rows = database.execute("SELECT * FROM audit_log ORDER BY number DESC LIMIT ?", (limit,)).fetchall()
        return [
            AuditEntry(
                datetime.fromisoformat(row["moment"]), row["actor"], row["action"], row["subject"], row["origin"], row["detail"]
            )
            for row in reversed(rows)
        ]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        return str(os.getuid())
