"""Where the pipeline engine keeps its state: a SQLite file of the workspace, or PostgreSQL where `BANKMLOPS_DATABASE_URL` is set.

The URL holds a password. It is taken out of the environment when it is read, so that no process that is started later inherits
it; it is in no argument, no log and no error.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from bankmlops.errors import BackendUnavailableError, InvalidRequestError
from bankmlops.local.disk import disk_errors
from bankmlops.local.shared import is_shared

VARIABLE = "BANKMLOPS_DATABASE_URL"
EXAMPLE = f"{VARIABLE}=postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
_SCHEMES = ("postgresql", "postgres")
_POSTGRES_PORT = 5432


@dataclass(frozen=True, slots=True)
class PipelineDatabase:
    """A database by its URL; `name` is what may be shown of it."""

    url: str = field(repr=False)
    name: str
    is_postgres: bool


def take_pipeline_database(file: Path) -> PipelineDatabase:
    """The database that the environment names, which then forgets it; the SQLite `file` where it names none.

    Raises `InvalidRequestError` for a URL that can't serve, without showing it.
    """
    url = os.environ.pop(VARIABLE, "")
    return postgres_database(url) if url else sqlite_database(file)


def sqlite_database(file: Path) -> PipelineDatabase:
    """A file on this machine, for one process at a time."""
    return PipelineDatabase(f"sqlite:///{file}", str(file), is_postgres=False)


def postgres_database(url: str) -> PipelineDatabase:
    """A database for any number of processes. Raises `InvalidRequestError` for a URL that can't serve, without showing it."""
    try:
        parts = urlsplit(url)
        name = f"PostgreSQL at {parts.hostname}:{parts.port or _POSTGRES_PORT}{parts.path}"
    except ValueError:
        raise InvalidRequestError(f"{VARIABLE} can't be read as a URL; set {EXAMPLE}") from None
    if parts.scheme not in _SCHEMES or not parts.hostname or len(parts.path) < 2:
        raise InvalidRequestError(f"{VARIABLE} names no PostgreSQL database; set {EXAMPLE}")
    return PipelineDatabase(url, name, is_postgres=True)


def prepare_file(database: PipelineDatabase) -> None:
    """Have readers of a SQLite file not wait for its writer, as they would with the journal that it begins with (idempotent)."""
    if database.is_postgres or is_shared():
        return
    with disk_errors(Path(database.name)), closing(sqlite3.connect(database.name)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


@contextmanager
def database_errors(database: PipelineDatabase) -> Iterator[None]:
    """Raise `BackendUnavailableError` with one line, and no password, where PostgreSQL or the way to it refuses."""
    import psycopg
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (psycopg.Error, SQLAlchemyError) as error:
        raise BackendUnavailableError(f"{database.name} refuses: {_reason(error, urlsplit(database.url))}") from None


def check_reachable(database: PipelineDatabase, *, seconds: int = 10) -> None:
    """Raise `BackendUnavailableError` where PostgreSQL does not answer within `seconds`; SQLite always does."""
    if not database.is_postgres:
        return
    import psycopg

    with database_errors(database), psycopg.connect(database.url, connect_timeout=seconds) as connection:
        connection.execute("SELECT 1")


def _reason(error: Exception, parts: SplitResult) -> str:
    """The first line of what went wrong, however the password is written in it."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    for secret in {parts.password or "", unquote(parts.password or "")}:
        reason = reason.replace(secret, "***") if secret else reason
    return reason
