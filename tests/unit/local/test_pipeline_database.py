"""Where the pipeline engine keeps its state, and that nobody learns the password of it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from bankmlops.errors import BackendUnavailableError, InvalidRequestError
from bankmlops.local.pipelines.database import VARIABLE, check_reachable, postgres_database, take_pipeline_database

SECRET = "s3cr3t%40word"
PLAIN = "s3cr3t@word"


def _texts(error: BaseException | None) -> str:
    """What a traceback would show of the error and of all behind it."""
    return (
        ""
        if error is None
        else f"{error!r} {_texts(error.__cause__)} {_texts(None if error.__suppress_context__ else error.__context__)}"
    )


def test_a_file_where_nothing_is_said(tmp_path: Path) -> None:
    """Without the variable it is the workspace's own file."""
    database = take_pipeline_database(tmp_path / "dbos.sqlite")
    assert (database.is_postgres, database.url) == (False, f"sqlite:///{tmp_path}/dbos.sqlite")
    check_reachable(database)


def test_the_environment_forgets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken out of the environment, so that no process that is started later has it, and no text shows the password."""
    monkeypatch.setenv(VARIABLE, f"postgresql://bank:{SECRET}@db.example:6543/bank")
    database = take_pipeline_database(tmp_path / "dbos.sqlite")
    assert VARIABLE not in os.environ
    assert database.name == "PostgreSQL at db.example:6543/bank"
    assert "s3cr3t" not in f"{database} {database!r}"
    assert SECRET in database.url


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://bank:{SECRET}@db/bank",
        f"postgresql://bank:{SECRET}@db",
        f"postgresql://bank:{SECRET}@db/",
        f"postgresql://bank:{SECRET}@:5432/bank",
        f"postgresql://bank:{SECRET}@db:port/bank",
        f"postgresql://bank:{SECRET}@[db/bank",
        SECRET,
    ],
)
def test_a_url_that_cant_serve(url: str) -> None:
    """It is refused in one line that says what would serve, and does not show it."""
    with pytest.raises(InvalidRequestError) as refusal:
        postgres_database(url)
    assert "postgresql://USER:PASSWORD@HOST:PORT/DATABASE" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "s3cr3t" not in _texts(refusal.value)


def test_nobody_answers() -> None:
    """A server that is not there is one line with its address, and nothing of the password, however it is written."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    database = postgres_database(f"postgresql://bank:{SECRET}@127.0.0.1:{port}/bank")
    with pytest.raises(BackendUnavailableError, match=f"PostgreSQL at 127.0.0.1:{port}/bank refuses: ") as refusal:
        check_reachable(database, seconds=2)
    assert "\n" not in str(refusal.value)
    assert SECRET not in _texts(refusal.value)
    assert PLAIN not in _texts(refusal.value)
