"""Who watches the workers: whom it takes for lost, and when it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bankmlops.errors import BackendUnavailableError, ConflictError
from bankmlops.local.pipelines.worker_records import ALIVE, LEFT, LOST, Worker
from bankmlops.local.pipelines.worker_watch import SILENT_SECONDS, WorkerWatch


class Table:
    """The rows as the watch sees them, and a clock; what the real table does is tested with a real PostgreSQL."""

    def __init__(self) -> None:
        self.rows = {"one": Worker("one", "here", 1), "two": Worker("two", "there", 2)}
        self.away = self.rival = False
        self.steps = {"one": 2}
        self.recovered: list[str] = []
        self.now = 1000.0
        self.watch = WorkerWatch(self, self.recover, lambda: self.now)  # type: ignore[arg-type]

    def recover(self, executor_id: str) -> int:
        assert self.rows[executor_id].status != ALIVE
        self.recovered.append(executor_id)
        return self.steps.pop(executor_id, 0)

    def claim(self) -> bool:
        return not self.rival

    def list(self) -> Sequence[Worker]:
        if self.away:
            raise BackendUnavailableError("away")
        return list(self.rows.values())

    def end(self, executor_id: str, status: str) -> None:
        self.rows[executor_id] = replace(self.rows[executor_id], status=status)

    def forget(self, executor_id: str) -> None:
        del self.rows[executor_id]

    def pass_seconds(self, seconds: float, *, beating: Sequence[str] = ("two",)) -> None:
        """A look each second, at those that beat and those that don't."""
        for _ in range(int(seconds)):
            self.now += 1
            for name in beating:
                self.rows[name] = replace(self.rows[name], beats=self.rows[name].beats + 1)
            self.watch.look()


def test_a_worker_that_falls_silent() -> None:
    """A worker without a heartbeat is lost after a bounded time, and its steps are taken over; the other goes on."""
    table = Table()
    table.pass_seconds(SILENT_SECONDS)
    assert table.recovered == []
    table.pass_seconds(2)
    assert table.rows["one"].status == LOST
    assert set(table.recovered) == {"one"}
    assert table.rows["two"].status == ALIVE


def test_a_worker_that_left() -> None:
    """A worker that took leave is taken over from at the next look."""
    table = Table()
    table.end("one", LEFT)
    table.pass_seconds(1)
    assert table.recovered == ["one"]


def test_a_database_that_was_away() -> None:
    """Time in which nobody could tell a heartbeat does not count against anybody."""
    table = Table()
    table.pass_seconds(2, beating=("one", "two"))
    table.away = True
    for _ in range(30):
        table.now += 1
        with pytest.raises(BackendUnavailableError):
            table.watch.look()
    assert str(table.watch.refusal) == "away"
    table.away = False
    table.pass_seconds(SILENT_SECONDS, beating=())
    assert table.watch.refusal is None
    assert table.recovered == []


def test_a_watch_that_was_stopped() -> None:
    """Time in which the watch itself stood still does not count either."""
    table = Table()
    table.pass_seconds(2, beating=("one", "two"))
    table.now += 60
    table.pass_seconds(SILENT_SECONDS, beating=())
    assert table.recovered == []


def test_two_watches() -> None:
    """Where another control server watches, this one does nothing."""
    table = Table()
    table.rival = True
    table.end("one", LEFT)
    with pytest.raises(ConflictError, match="another control server"):
        table.watch.look()
    assert table.recovered == []


def test_what_is_gone_is_forgotten() -> None:
    """A lost worker's row goes when it has been gone for a while, and nothing that it had is left."""
    table = Table()
    table.end("one", LOST)
    table.rows["one"] = replace(table.rows["one"], silent_seconds=61.0)
    table.pass_seconds(1)
    assert "one" in table.rows
    table.pass_seconds(1)
    assert "one" not in table.rows
