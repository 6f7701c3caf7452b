"""Access tokens: told once, kept as a hash, and ended at once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bankmlops.errors import ConflictError, InvalidRequestError, NotFoundError
from bankmlops.local.control import tokens as control_tokens
from bankmlops.local.control.rate_limit import RateLimit
from bankmlops.local.control.tokens import ControlTokens
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import TokenScope

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(tmp_path: Path, clock: Clock) -> ControlTokens:
    return ControlTokens(LocalWorkspace(tmp_path / "workspace"), clock)


def test_a_token(tokens: ControlTokens) -> None:
    """A token opens by its secret, which has 256 bits and shows in no repr."""
    made = tokens.create("ci", TokenScope.TRIGGER)
    assert len(made.secret) >= 4 + 256 / 6
    assert made.secret not in repr(made)
    opened = tokens.authenticate(made.secret)
    assert opened is not None
    assert (opened.id, opened.name, opened.scope) == (made.token.id, "ci", TokenScope.TRIGGER)
    assert tokens.authenticate(f"{made.secret}x") is None


def test_the_secret_is_not_kept(tokens: ControlTokens, tmp_path: Path) -> None:
    """No file of the workspace holds the secret."""
    secret = tokens.create("ci", TokenScope.READ).secret
    for path in (tmp_path / "workspace").rglob("*"):
        assert path.is_dir() or secret.encode() not in path.read_bytes()
    with closing(sqlite3.connect(tmp_path / "workspace" / "state.db")) as connection:
        assert len(connection.execute("SELECT sha256 FROM access_tokens").fetchone()[0]) == 64


def test_a_token_expires(tokens: ControlTokens, clock: Clock) -> None:
    """A token opens nothing from the moment on at which it expires."""
    secret = tokens.create("ci", TokenScope.READ, days=1).secret
    clock.now += timedelta(hours=23, minutes=59)
    assert tokens.authenticate(secret)
    clock.now += timedelta(minutes=1)
    assert tokens.authenticate(secret) is None


def test_revoke(tokens: ControlTokens) -> None:
    """A revoked token stays in the list, its name is free again, and the new one of that name is another."""
    secret = tokens.create("ci", TokenScope.READ).secret
    assert tokens.revoke("ci").revoked == START
    assert tokens.authenticate(secret) is None
    again = tokens.create("ci", TokenScope.READ)
    assert tokens.authenticate(secret) is None
    assert {each.id: each.revoked for each in tokens.list()}[again.token.id] is None
    with pytest.raises(NotFoundError, match="'other'"):
        tokens.revoke("other")


def test_the_last_use(tokens: ControlTokens, clock: Clock) -> None:
    """The use of a token is noted, to the minute."""
    secret = tokens.create("ci", TokenScope.READ).secret
    for seconds in (0, 30, 60):
        clock.now = START + timedelta(seconds=seconds)
        tokens.authenticate(secret)
    assert tokens.list()[0].last_used == START + timedelta(seconds=60)


@pytest.mark.parametrize(
    ("name", "days"), [("a b", None), ("", None), ("ci", 0.0), ("ci", -1.0), ("ci", float("nan")), ("ci", 1e9)]
)
def test_what_can_not_be_made(tokens: ControlTokens, name: str, days: float | None) -> None:
    """A name or a life that can't serve is refused."""
    with pytest.raises(InvalidRequestError):
        tokens.create(name, TokenScope.READ, days)


def test_a_name_lives_once(tokens: ControlTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two living tokens don't bear one name, and there is an end to how many live."""
    tokens.create("ci", TokenScope.READ)
    with pytest.raises(ConflictError, match="'ci'"):
        tokens.create("ci", TokenScope.ADMIN)
    monkeypatch.setattr(control_tokens, "_MAXIMUM_LIVING", 1)
    with pytest.raises(ConflictError, match="revoke one"):
        tokens.create("other", TokenScope.READ)


def test_a_bucket_fills_up_to_its_burst() -> None:
    """A caller that has waited long may not send more at once than the burst; its wait is told in whole seconds, upwards."""
    clock = [0.0]
    limit = RateLimit(0.5, 3, lambda: clock[0])
    assert [limit.wait_seconds("a") for _ in range(4)] == [0, 0, 0, 2]
    clock[0] = 1000.0
    assert [limit.wait_seconds("a") for _ in range(4)] == [0, 0, 0, 2]
