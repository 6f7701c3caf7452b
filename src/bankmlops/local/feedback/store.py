"""The labels that came back for an endpoint's requests, in a SQLite file of their own: what is acknowledged is on the disk.

The inputs are copied beside them from what the endpoint collected, so that a label may arrive long after that file was rotated.
Each row of a request has one label, and keeps it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

from bankmlops.local.disk import disk_errors
from bankmlops.local.feedback.requests import collected_files, look
from bankmlops.local.json_columns import now_text
from bankmlops.types import LabelledRow, Outcome

KIND, FILE = "feedback", "feedback.db"
MAXIMUM_WAITING = 1_000_000  # rows without a label; the oldest of more are forgotten
MAXIMUM_LABELS = 1_000_000
_BUSY_SECONDS = 30.0
_SCRIPT = """
CREATE TABLE files (name TEXT PRIMARY KEY, bytes INTEGER NOT NULL);
CREATE TABLE requests (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    request_id TEXT NOT NULL,
    row INTEGER NOT NULL,
    time TEXT NOT NULL,
    model TEXT NOT NULL,
    inputs TEXT NOT NULL,
    answer TEXT NOT NULL,
    label TEXT,
    arrived TEXT,
    place INTEGER,
    UNIQUE (request_id, row)
);
CREATE UNIQUE INDEX labelled ON requests (place) WHERE label IS NOT NULL;
CREATE INDEX waiting ON requests (number) WHERE label IS NULL;
"""


class FeedbackStore:
    """The file of one endpoint; any number of processes may hold it at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(self) -> None:
        """Make the file whole or not at all; whoever calls holds a lock, and sees that it is not there."""
        waiting = self._path.with_name(f"new-{uuid4().hex}.db")
        with disk_errors(self._path):
            try:
                with closing(sqlite3.connect(waiting)) as connection:
                    waiting.chmod(0o600)
                    connection.execute("PRAGMA journal_mode=WAL")
                    connection.executescript(_SCRIPT)
                waiting.replace(self._path)
            finally:
                waiting.unlink(missing_ok=True)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that begins as a writer's: what it reads stays true until it is committed, or undone where it raises."""
        with disk_errors(self._path), closing(self._connect()) as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection

    def take(self, folder: Path) -> int:
        """Copy what the endpoint in `folder` collected since; answers how many rows are new."""
        with self.writing() as connection:
            seen = dict(connection.execute("SELECT name, bytes FROM files"))
            looks = [found for path in collected_files(folder) if (found := look(path, seen))]
            for found in looks:
                connection.executemany(_KEEP, found.rows)
                connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?)", (found.name, found.end))
            _forget_oldest(connection)
        return sum(len(found.rows) for found in looks)

    def labelled(self, after: int, limit: int) -> Sequence[LabelledRow]:
        """At most `limit` rows with their labels, of those that arrived after the one of the number `after`, in that order."""
        with disk_errors(self._path), closing(self._connect()) as connection:
            rows = connection.execute(_LABELLED, (after, limit)).fetchall()
        return tuple(_labelled(*row) for row in rows)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
        connection.execute("PRAGMA synchronous=FULL")  # an acknowledged label outlives the machine's power too
        return connection


def find(connection: sqlite3.Connection, outcome: Outcome) -> tuple[str, str | None] | None:
    """The model that was asked, and the label that the row has already; None where no such row was collected."""
    found = connection.execute(
        "SELECT model, label FROM requests WHERE request_id = ? AND row = ?", (outcome.request_id, outcome.row)
    ).fetchone()
    return (found[0], found[1]) if found else None


def count_labels(connection: sqlite3.Connection) -> int:
    """How many labels there are."""
    return int(connection.execute("SELECT COALESCE(MAX(place), 0) FROM requests WHERE label IS NOT NULL").fetchone()[0])


def put(connection: sqlite3.Connection, outcome: Outcome, place: int) -> None:
    """Give the row its label, as the one that arrived as number `place`."""
    connection.execute(
        "UPDATE requests SET label = ?, arrived = ?, place = ? WHERE request_id = ? AND row = ?",
        (outcome.label, now_text(), place, outcome.request_id, outcome.row),
    )


def _labelled(
    number: int, request_id: str, row: int, time: str, arrived: str, model: str, inputs: str, *ends: str
) -> LabelledRow:
    answer, label = ends
    return LabelledRow(number, request_id, row, time, arrived, model, json.loads(inputs), answer, label)


def _forget_oldest(connection: sqlite3.Connection) -> None:
    connection.execute(
        "DELETE FROM requests WHERE label IS NULL AND number <="
        " (SELECT number FROM requests WHERE label IS NULL ORDER BY number DESC LIMIT 1 OFFSET ?)",
        (MAXIMUM_WAITING,),
    )


_KEEP = "INSERT OR IGNORE INTO requests (request_id, row, time, model, inputs, answer) VALUES (?, ?, ?, ?, ?, ?)"
_LABELLED = (
    "SELECT place, request_id, row, time, arrived, model, inputs, answer, label FROM requests"
    " WHERE label IS NOT NULL AND place > ? ORDER BY place LIMIT ?"
)
