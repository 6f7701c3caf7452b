"""The words on tokens, the audit log, pipeline endpoints and schedules."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bankmlops.local.control.desk import LocalControlDesk
from bankmlops.local.control.tokens import ControlTokens
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import (
    Cron,
    Frequency,
    MissedFires,
    NewDatasetVersion,
    PrunedRuns,
    PublishedPipeline,
    Recurrence,
    ScheduleConfig,
    TokenScope,
    WeekDay,
)
from support.memory_backend import MemoryBackend

Command = Callable[..., Any]


@pytest.fixture
def published(backend: MemoryBackend) -> PublishedPipeline:
    backend.pipelines.append(PublishedPipeline("p1", "bank-training", "1", "http://p1"))
    backend.pipelines.append(PublishedPipeline("p2", "bank-training", "2", "http://p2"))
    return backend.pipelines[0]


def test_tokens(command: Command) -> None:
    """A token's secret is printed when it is made and never again; it opens until it is revoked; all that is in the audit log."""
    done = command("tokens", "create", "ci", "--scope", "read", "--expires", "30", "--json")
    assert done.code == 0, done.err
    secret = done.document["secret"]
    assert (done.document["token"]["name"], done.document["token"]["scope"]) == ("ci", "read")
    tokens = ControlTokens(LocalWorkspace(".bankmlops"))  # type: ignore[arg-type]
    opened = tokens.authenticate(secret)
    assert opened is not None
    assert opened.scope is TokenScope.READ
    listed = command("tokens", "list")
    assert "ci" in listed.out
    assert secret not in listed.out
    assert command("tokens", "revoke", "ci").code == 0
    assert tokens.authenticate(secret) is None
    entries = command("audit", "--json").document
    assert [(entry["action"], entry["subject"]) for entry in entries] == [
        ("create token", "token ci"),
        ("revoke token", "token ci"),
    ]
    assert secret not in str(entries)
    assert "create token" in command("audit").out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("tokens", "create", "a b"), "token name"),
        (("tokens", "create", "ci", "--expires", "0"), "0 days"),
        (("tokens", "revoke", "nobody"), "nobody"),
        (("audit", "--last", "0"), "--last"),
        (("--backend", "azure", "tokens", "list"), "Entra"),
    ],
)
def test_what_can_not_serve(command: Command, words: tuple[str, ...], named: str) -> None:
    """A word that can't serve is one line that names it."""
    done = command(*words)
    assert done.code != 0
    assert named in done.err
    assert done.err.count("\n") == 1


def test_pipeline_endpoints(command: Command, published: PublishedPipeline) -> None:
    """An endpoint is made over a version, moved to another, and switched off and on."""
    made = command(
        "pipeline-endpoints", "create", "retraining", "--pipeline", "bank-training", "--version", "1", "--json"
    ).document
    assert (made["default_version"], made["versions"]) == ("0", {"0": "p1"})
    moved = command("pipeline-endpoints", "set-default", "retraining", "--pipeline", "p2", "--json").document
    assert moved["versions"][moved["default_version"]] == "p2"
    assert command("pipeline-endpoints", "disable", "retraining", "--json").document["status"] == "Disabled"
    assert command("pipeline-endpoints", "enable", made["id"], "--json").document["status"] == "Active"
    assert "retraining" in command("pipeline-endpoints", "list").out
    assert "http" in command("pipeline-endpoints", "show", "retraining").out
    assert "nobody" in command("pipeline-endpoints", "show", "nobody").err


@pytest.mark.parametrize(
    ("words", "when"),
    [
        (("--cron", "30 2 * * 1", "--time-zone", "Europe/Berlin"), Cron("30 2 * * 1", "Europe/Berlin")),
        (("--every", "15-minutes"), Recurrence(Frequency.MINUTE, 15)),
        (
            ("--every", "2-week", "--on", "Monday", "--on", "Friday", "--at", "06:30"),
            Recurrence(Frequency.WEEK, 2, (WeekDay.MONDAY, WeekDay.FRIDAY), (6,), (30,)),
        ),
        (("--on-new-data", "bank", "--data-parameter", "dataset"), NewDatasetVersion("bank", "dataset")),
    ],
)
def test_when(command: Command, backend: MemoryBackend, published: PublishedPipeline, words: tuple[str, ...], when: Any) -> None:
    """Each way to say when becomes what the backend is asked for; the newest version that is active is run."""
    done = command("schedules", "create", "nightly", "--pipeline", "bank-training", *words)
    assert done.code == 0, done.err
    assert backend.calls[-1] == ScheduleConfig("nightly", "p1", when)
    assert "next fire" in done.out


def test_all_of_a_schedule(command: Command, backend: MemoryBackend, published: PublishedPipeline) -> None:
    """Times without an offset are of the schedule's zone; all else that was said reaches the backend too."""
    endpoint = backend.create_pipeline_endpoint("retraining", "p1")
    words = ("--start", "2027-01-31T09:00", "--end", "2027-03-01T00:00+00:00", "--time-zone", "Asia/Tokyo", "--missed", "skip")
    more = ("--experiment", "nightly", "--set", "minutes=2", "--endpoint", "retraining", "--cron", "0 3 * * *")
    assert command("schedules", "create", "nightly", *words, *more).code == 0
    assert backend.calls[-1] == ScheduleConfig(
        "nightly",
        endpoint.id,
        Cron("0 3 * * *", "Asia/Tokyo"),
        "nightly",
        datetime(2027, 1, 31, 9, tzinfo=ZoneInfo("Asia/Tokyo")),
        datetime(2027, 3, 1, tzinfo=UTC),
        MissedFires.SKIP,
        {"minutes": "2"},
    )


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((), "--cron"),
        (("--cron", "0 0 * * *", "--every", "1-day"), "--cron"),
        (("--every", "day"), "'day'"),
        (("--every", "2-fortnight"), "fortnight"),
        (("--every", "1-day", "--at", "noon"), "noon"),
        (("--every", "1-day", "--start", "soon"), "soon"),
        (("--every", "1-day", "--start", "2027-01-31", "--time-zone", "Mars"), "Mars"),
        (("--every", "1-day", "--set", "x"), "'x'"),
        (("--every", "1-day", "--endpoint", "e"), "--endpoint"),
    ],
)
def test_a_schedule_that_can_not_be(
    command: Command, backend: MemoryBackend, published: PublishedPipeline, words: tuple[str, ...], named: str
) -> None:
    """What does not say when, or not what, is one line that says what would serve, and asks the backend for nothing."""
    done = command("schedules", "create", "nightly", "--pipeline", "bank-training", *words)
    assert done.code == 2
    assert named in done.err
    assert backend.calls == []


def test_a_schedules_life(command: Command, backend: MemoryBackend, published: PublishedPipeline) -> None:
    """A schedule is listed, paused, resumed and deleted by its name."""
    command("schedules", "create", "nightly", "--pipeline", "bank-training", "--every", "1-day")
    assert "every 1 day in UTC" in command("schedules", "list").out
    assert command("schedules", "pause", "nightly", "--json").document["status"] == "Paused"
    assert command("schedules", "resume", "s-nightly", "--json").document["status"] == "Active"
    assert command("schedules", "show", "nightly", "--json").document["config"]["name"] == "nightly"
    assert command("schedules", "delete", "nightly").code == 0
    assert "no schedules" in command("schedules", "list").out


def test_enable_a_pipeline(command: Command, backend: MemoryBackend, published: PublishedPipeline) -> None:
    """A disabled pipeline takes triggers again."""
    command("pipelines", "disable", "p1")
    assert command("pipelines", "enable", "p1", "--json").document["status"] == "Active"


def test_prune(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old runs are deleted, or counted alone; without a control server one line says so."""
    done = command("pipelines", "prune", "--older-than", "30")
    assert (done.code, len(done.errors)) == (7, 1)
    assert "bankmlops up" in done.errors[0]
    pruned = PrunedRuns(("run-1", "run-2"), 1_500_000, 3)
    monkeypatch.setattr(LocalControlDesk, "find_prunable_runs", lambda _, days: pruned if days == 30 else PrunedRuns())
    monkeypatch.setattr(LocalControlDesk, "prune_runs", lambda *_: pruned)
    dry = command("pipelines", "prune", "--older-than", "30", "--dry-run")
    assert dry.out == "2 pipeline runs would be deleted, 1.5 MB; 3 as old are needed and stay\n"
    assert command("pipelines", "prune", "--older-than", "30", "--json").document["run_ids"] == ["run-1", "run-2"]
    assert command("pipelines", "prune", "--older-than", "0").code == 2
    assert command("--backend", "azure", "pipelines", "prune", "--older-than", "30").code == 2
