"""What a disk can do wrong becomes one line, and files are replaced whole and private."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from bankmlops.errors import BackendUnavailableError, InvalidRequestError
from bankmlops.local.disk import disk_errors, make_private_folder, write_private_file, write_private_json
from bankmlops.local.log_tail import last_lines


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.ENOSPC, "free some space"), (errno.EROFS, "choose a writable folder"), (errno.EACCES, "choose a writable folder")],
)
def test_a_refusal_says_what_helps(number: int, advice: str) -> None:
    """A full or read-only disk is one line with the path and what to do."""
    with (
        pytest.raises(BackendUnavailableError, match=rf"can't use /there: .*; {advice}.*--workspace"),
        disk_errors(Path("/there")),
    ):
        raise OSError(number, os.strerror(number))


def test_the_file_at_fault_is_named() -> None:
    """Where the system names a file, the line does too."""
    with pytest.raises(BackendUnavailableError, match="/proc/nobody/there"), disk_errors(Path("/elsewhere")):
        Path("/proc/nobody/there").read_text()


@pytest.mark.parametrize(
    ("message", "advice"),
    [("database is locked", "try again"), ("database or disk is full", "free some space"), ("readonly", "a writable folder")],
)
def test_sqlite_refuses(message: str, advice: str) -> None:
    """SQLite's refusals are the disk's."""
    with pytest.raises(BackendUnavailableError, match=advice), disk_errors(Path("state.db")):
        raise sqlite3.OperationalError(message)


def test_a_foreign_file_is_the_users_affair(tmp_path: Path) -> None:
    """A file that is no database is the caller's input."""
    path = tmp_path / "state.db"
    path.write_bytes(b"x" * 4096)
    with pytest.raises(InvalidRequestError, match="damaged"), disk_errors(path):
        sqlite3.connect(path).execute("SELECT * FROM sqlite_master")


def test_our_own_mistakes_stay_errors(tmp_path: Path) -> None:
    """A broken constraint or a wrong call is no disk's fault, and is not translated."""
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE t (x NOT NULL)")
    with pytest.raises(sqlite3.IntegrityError), disk_errors(tmp_path):
        database.execute("INSERT INTO t VALUES (NULL)")


def test_a_private_file_is_replaced_whole(tmp_path: Path) -> None:
    """It is its owner's alone, holds the new content, and leaves no other file behind."""
    path = tmp_path / "secret"
    write_private_file(path, b"old")
    write_private_json(path, {"new": 1})
    assert json.loads(path.read_text()) == {"new": 1}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up half-way costs the new content, not the old, and leaves nothing half-written."""
    path = tmp_path / "record"
    write_private_file(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BackendUnavailableError, match="free some space"):
        write_private_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_keeps_its_mode(tmp_path: Path) -> None:
    """A folder that exists is taken as it is; a new one is private."""
    open_folder = tmp_path / "open"
    open_folder.mkdir(mode=0o755)
    make_private_folder(open_folder)
    make_private_folder(tmp_path / "parent" / "new")
    assert stat.S_IMODE(open_folder.stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "parent" / "new").stat().st_mode) == 0o700


@pytest.mark.parametrize("count", [1, 3, 1000])
def test_the_last_lines(tmp_path: Path, count: int) -> None:
    """The newest lines, oldest first, of a file of many blocks; a byte that is no text is shown as such."""
    path = tmp_path / "log"
    lines = [f"line {number} {'x' * 200}" for number in range(2000)]
    path.write_bytes("\n".join(lines).encode() + b"\nend \xff")
    assert last_lines(path, count) == [*lines, "end \N{REPLACEMENT CHARACTER}"][-count:]


def test_no_log_has_no_lines(tmp_path: Path) -> None:
    """A log that nobody wrote, and an empty one, have no lines."""
    (tmp_path / "empty").touch()
    assert last_lines(tmp_path / "nothing", 5) == []
    assert last_lines(tmp_path / "empty", 5) == []
