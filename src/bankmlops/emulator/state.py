"""What the emulator remembers: JSON documents in SQLite, safe under concurrent requests, durable across restarts."""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Document = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
  workspace TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, grouping TEXT NOT NULL,
  family TEXT NOT NULL DEFAULT '', body TEXT NOT NULL,
  sequence INTEGER PRIMARY KEY AUTOINCREMENT, UNIQUE (workspace, kind, key));
CREATE INDEX IF NOT EXISTS documents_by_group ON documents (workspace, kind, grouping);
CREATE INDEX IF NOT EXISTS documents_by_family ON documents (workspace, kind, family);
CREATE TABLE IF NOT EXISTS counters (
  workspace TEXT NOT NULL, name TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (workspace, name));
"""
_PAGE = 50
_CHECKPOINT_CHANGES = 500
_LOG_PAGES = 20_000  # 80 MB: where the log is written back by whoever fills it, should nobody call `checkpoint`


class Store:
    """One SQLite file. Its single connection is shared by the request threads under one lock; the operations are short."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._path = path
        self._checkpointed = 0
        self._lock = threading.RLock()
        path.chmod(0o600)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
        _upgrade(self._connection)
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Write what is outstanding and let go of the file."""
        with self._lock:
            self._connection.close()

    def checkpoint(self) -> None:
        """Write the log back into the file once enough has changed: on a connection of its own, so that no request waits for the
        disk meanwhile."""
        changes = self._connection.total_changes
        if changes - self._checkpointed < _CHECKPOINT_CHANGES:
            return
        with closing(sqlite3.connect(self._path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        self._checkpointed = changes

    def execute(self, statement: str, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and answer its rows."""
        with self._lock:
            return self._connection.execute(statement, parameters).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the statements inside one unit: all of them count, or none. Nests."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


def _upgrade(connection: sqlite3.Connection) -> None:
    """Give a state that was begun without families its runs' families."""
    columns = [row[1] for row in connection.execute("PRAGMA table_info(documents)")]
    if not columns or "family" in columns:
        return
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("ALTER TABLE documents ADD COLUMN family TEXT NOT NULL DEFAULT ''")
    rows = connection.execute("SELECT sequence, body FROM documents WHERE kind = 'run'").fetchall()
    families = [(json.loads(body)["rootRunId"], sequence) for sequence, body in rows]
    connection.executemany("UPDATE documents SET family = ? WHERE sequence = ?", families)
    connection.execute("COMMIT")


@dataclass(frozen=True, slots=True)
class Documents:
    """The documents of one workspace, by kind ("run", "dataset", ...) and key; they are listed by `group` or `family`."""

    store: Store
    workspace: str

    def get(self, kind: str, key: str) -> Document | None:
        """The document, or None."""
        rows = self.store.execute(
            "SELECT body FROM documents WHERE workspace = ? AND kind = ? AND key = ?", (self.workspace, kind, key)
        )
        return json.loads(rows[0][0]) if rows else None

    def put(self, kind: str, key: str, document: Document, group: str = "", family: str = "") -> None:
        """Write the document, in place of what was there; a replaced one keeps its place in the order."""
        self.store.execute(
            "INSERT INTO documents (workspace, kind, key, grouping, family, body) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (workspace, kind, key) "
            "DO UPDATE SET grouping = excluded.grouping, family = excluded.family, body = excluded.body",
            (self.workspace, kind, key, group, family, json.dumps(document)),
        )

    def get_or_create(self, kind: str, key: str, create: Callable[[], Document], group: str = "") -> Document:
        """The document; `create` makes it where there is none, once, however many ask."""
        with self.store.transaction():
            found = self.get(kind, key)
            if found is None:
                found = create()
                self.put(kind, key, found, group)
            return found

    def update(self, kind: str, key: str, change: Callable[[Document], None]) -> Document | None:
        """Read, `change` in place and write back as one unit; None where there is no such document."""
        with self.store.transaction():
            document = self.get(kind, key)
            if document is None:
                return None
            change(document)
            self.store.execute(
                "UPDATE documents SET body = ? WHERE workspace = ? AND kind = ? AND key = ?",
                (json.dumps(document), self.workspace, kind, key),
            )
            return document

    def delete(self, kind: str, key: str) -> bool:
        """Take it away; False where it was not there."""
        rows = self.store.execute(
            "DELETE FROM documents WHERE workspace = ? AND kind = ? AND key = ? RETURNING key", (self.workspace, kind, key)
        )
        return bool(rows)

    def find(self, kind: str, group: str | None = None) -> list[Document]:
        """The documents of a kind (of one group, where given), oldest first."""
        if group is None:
            rows = self.store.execute(
                "SELECT body FROM documents WHERE workspace = ? AND kind = ? ORDER BY sequence", (self.workspace, kind)
            )
        else:
            rows = self.store.execute(
                "SELECT body FROM documents WHERE workspace = ? AND kind = ? AND grouping = ? ORDER BY sequence",
                (self.workspace, kind, group),
            )
        return [json.loads(row[0]) for row in rows]

    def find_family(self, kind: str, family: str) -> list[Document]:
        """The documents of one family, oldest first."""
        rows = self.store.execute(
            "SELECT body FROM documents WHERE workspace = ? AND kind = ? AND family = ? ORDER BY sequence",
            (self.workspace, kind, family),
        )
        return [json.loads(row[0]) for row in rows]

    def newest(self, kind: str, group: str) -> Iterator[Document]:
        """The documents of a group, newest first: read a few at a time, for who stops early."""
        before = sys.maxsize
        while rows := self._older(kind, group, before):
            before = rows[-1][0]
            yield from (json.loads(body) for _, body in rows)

    def _older(self, kind: str, group: str, before: int) -> list[tuple[int, str]]:
        return self.store.execute(
            "SELECT sequence, body FROM documents WHERE workspace = ? AND kind = ? AND grouping = ? AND sequence < ? "
            "ORDER BY sequence DESC LIMIT ?",
            (self.workspace, kind, group, before, _PAGE),
        )

    def next_number(self, name: str) -> int:
        """1, 2, 3, ...: a counter that never gives a number twice."""
        rows = self.store.execute(
            "INSERT INTO counters (workspace, name, value) VALUES (?, ?, 1) "
            "ON CONFLICT (workspace, name) DO UPDATE SET value = value + 1 RETURNING value",
            (self.workspace, name),
        )
        return int(rows[0][0])
