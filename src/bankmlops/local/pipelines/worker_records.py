"""The workers that take pipeline steps, as rows in the engine's PostgreSQL: who they are, and a heartbeat that counts up.

A row's status goes from Alive to Left (it said so) or Lost (it fell silent), and never back: a worker that finds itself lost
has to end, since others have its steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row

from bankmlops.local.pipelines.database import PipelineDatabase, database_errors

ALIVE, LEFT, LOST = "Alive", "Left", "Lost"
_CONNECT_SECONDS = 3
_STATEMENT_MILLISECONDS = 5000
# Of our own among PostgreSQL's advisory locks: two that make the table at once would collide, and so would two control servers.
_TABLE_LOCK, _CONTROL_LOCK = 0x62616E6B, 0x62616E6C
_SCRIPT = """
CREATE SCHEMA IF NOT EXISTS bankmlops;
CREATE TABLE IF NOT EXISTS bankmlops.pipeline_workers (
    executor_id TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    status TEXT NOT NULL,
    beats BIGINT NOT NULL DEFAULT 0,
    seen TIMESTAMPTZ NOT NULL DEFAULT now()
);
"""


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that takes steps. `beats` counts its heartbeats, `silent_seconds` is the database's time since the last."""

    executor_id: str
    host: str
    pid: int
    status: str = ALIVE
    beats: int = 0
    silent_seconds: float = 0.0


class WorkerRecords:
    """The table, over one connection that is made anew after an error. Every method may raise `BackendUnavailableError`.

    One thread at a time may use it.
    """

    def __init__(self, database: PipelineDatabase) -> None:
        self._database = database
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None

    def prepare(self) -> None:
        """Make the table (idempotent)."""
        with self._connected() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_TABLE_LOCK,))
            connection.execute(_SCRIPT)

    def claim(self) -> bool:
        """Be the one that watches this table, as long as the connection lasts (idempotent); False where another is."""
        with self._connected() as connection:
            found = connection.execute("SELECT pg_try_advisory_lock(%s)", (_CONTROL_LOCK,)).fetchone()
        return found is not None and found[0] is True

    def join(self, worker: Worker) -> None:
        """A worker that has begun."""
        with self._connected() as connection:
            connection.execute(
                "INSERT INTO bankmlops.pipeline_workers (executor_id, host, pid, status) VALUES (%s, %s, %s, %s)",
                (worker.executor_id, worker.host, worker.pid, ALIVE),
            )

    def beat(self, executor_id: str) -> bool:
        """It is alive; False where others have given it up."""
        with self._connected() as connection:
            done = connection.execute(
                "UPDATE bankmlops.pipeline_workers SET beats = beats + 1, seen = now() WHERE executor_id = %s AND status = %s",
                (executor_id, ALIVE),
            )
        return done.rowcount == 1

    def end(self, executor_id: str, status: str) -> None:
        """It has `LEFT`, or is taken for `LOST`; who ended before stays as it is."""
        with self._connected() as connection:
            connection.execute(
                "UPDATE bankmlops.pipeline_workers SET status = %s, seen = now() WHERE executor_id = %s AND status = %s",
                (status, executor_id, ALIVE),
            )

    def list(self) -> Sequence[Worker]:
        """All workers, those that ended a short while ago included."""
        with self._connected() as connection, connection.cursor(row_factory=class_row(Worker)) as cursor:
            return cursor.execute(
                "SELECT executor_id, host, pid, status, beats, extract(epoch FROM now() - seen)::float8 AS silent_seconds"
                " FROM bankmlops.pipeline_workers ORDER BY executor_id"
            ).fetchall()

    def forget(self, executor_id: str) -> None:
        """A worker that ended, and whose steps others have."""
        with self._connected() as connection:
            connection.execute(
                "DELETE FROM bankmlops.pipeline_workers WHERE executor_id = %s AND status <> %s", (executor_id, ALIVE)
            )

    def close(self) -> None:
        """Give the connection back (idempotent)."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
        with database_errors(self._database):
            try:
                if self._connection is None:
                    self._connection = self._connect()
                yield self._connection
            except psycopg.Error:
                self.close()
                raise

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            self._database.url,
            autocommit=True,
            connect_timeout=_CONNECT_SECONDS,
            options=f"-c statement_timeout={_STATEMENT_MILLISECONDS}",
            application_name="bankmlops worker records",
        )
