"""The audit log: added to, never rewritten, private and bounded."""

from __future__ import annotations

import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from bankmlops.local.control import audit
from bankmlops.local.control.audit import AuditLog
from bankmlops.local.workspace import LocalWorkspace


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    return AuditLog(LocalWorkspace(tmp_path / "workspace"))


def test_entries(log: AuditLog) -> None:
    """Entries come back in their order with all that was said, the newest last; what is too long is cut."""
    log.record("token ci", "trigger", "pipeline 1", "http 127.0.0.1", "run 1")
    log.record_own("publish", "x" * 1000)
    first, second = log.newest(10)
    assert (first.actor, first.action, first.subject, first.origin, first.detail) == (
        "token ci",
        "trigger",
        "pipeline 1",
        "http 127.0.0.1",
        "run 1",
    )
    assert (second.actor.split()[0], second.origin.split()[0], len(second.subject)) == ("user", "process", 300)
    assert first.moment <= second.moment
    assert log.newest(1) == [second]


def test_entries_stay_as_they_are(log: AuditLog, tmp_path: Path) -> None:
    """An entry can't be changed, and its owner alone can read the file."""
    log.record("a", "b", "c", "d")
    path = tmp_path / "workspace" / "state.db"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.IntegrityError, match="never rewritten"):
        connection.execute("UPDATE audit_log SET actor = 'nobody'")
    assert log.newest(1)[0].actor == "a"


def test_there_is_an_end(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest entries leave when there are too many."""
    monkeypatch.setattr(audit, "MAXIMUM_ENTRIES", 50)
    monkeypatch.setattr(audit, "_TRIMMED_EVERY", 10)
    for number in range(100):
        log.record("a", str(number), "c", "d")
    assert [entry.action for entry in log.newest(1000)] == [str(number) for number in range(50, 100)]


def test_many_write_at_once(log: AuditLog) -> None:
    """No entry is lost where many write."""
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: log.record("a", str(number), "c", "d"), range(40)))
    assert {entry.action for entry in log.newest(100)} == {str(number) for number in range(40)}
