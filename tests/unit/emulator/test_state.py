"""The documents that the emulator remembers: how they are listed, and what becomes of the file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from bankmlops.emulator.state import Documents, Store


def test_families_and_groups(tmp_path: Path) -> None:
    """Documents are found by family oldest first, by group newest first, however many; another family or group does not count."""
    with closing(Store(tmp_path / "state.sqlite")) as store:
        documents = Documents(store, "w")
        for number in range(120):
            family = "even" if number % 2 == 0 else "odd"
            documents.put("thing", str(number), {"number": number, "score": float("nan")}, group="g", family=family)
        documents.put("thing", "120", {"number": 120}, group="h", family="even")
        assert [document["number"] for document in documents.newest("thing", "g")] == list(reversed(range(120)))
        assert [document["number"] for document in documents.find_family("thing", "even")] == list(range(0, 121, 2))


def test_a_state_from_before_families(tmp_path: Path) -> None:
    """A state that knows no families gets those of its runs when it is opened, and keeps all else."""
    path = tmp_path / "state.sqlite"
    with closing(sqlite3.connect(path)) as old, old:
        old.execute(
            "CREATE TABLE documents (workspace TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, grouping TEXT NOT NULL, "
            "body TEXT NOT NULL, sequence INTEGER PRIMARY KEY AUTOINCREMENT, UNIQUE (workspace, kind, key))"
        )
        rows = [("run", "a", '{"rootRunId": "a"}'), ("run", "a_1", '{"rootRunId": "a"}'), ("model", "m", "{}")]
        old.executemany("INSERT INTO documents (workspace, kind, key, grouping, body) VALUES ('w', ?, ?, 'g', ?)", rows)
    with closing(Store(path)) as store:
        documents = Documents(store, "w")
        assert documents.find_family("run", "a") == [{"rootRunId": "a"}, {"rootRunId": "a"}]
        assert documents.get("model", "m") == {}


def test_the_log_is_written_back(tmp_path: Path) -> None:
    """After many changes a checkpoint brings them into the file itself, and its log begins anew."""
    path = tmp_path / "state.sqlite"
    with closing(Store(path)) as store:
        documents = Documents(store, "w")
        for number in range(600):
            documents.put("thing", str(number), {"text": "x" * 1000})
        before = path.stat().st_size
        store.checkpoint()
        assert before < 200_000 < path.stat().st_size
        size = path.with_name("state.sqlite-wal").stat().st_size
        for number in range(100):
            documents.put("thing", str(number), {"text": "y" * 1000})
        assert path.with_name("state.sqlite-wal").stat().st_size == size
