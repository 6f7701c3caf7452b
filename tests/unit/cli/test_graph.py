"""A pipeline run as a graph on a terminal, and as lines elsewhere."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo

import pytest
from rich.console import Console

from bankmlops import run_graph
from bankmlops.cli import progress
from bankmlops.cli.graph import draw_graph, watching_pipeline
from bankmlops.cli.waiting import await_pipeline_run
from bankmlops.run_graph import layers
from bankmlops.types import PipelineRun, Run, RunStatus, StepRun
from support.memory_backend import MemoryBackend

C, R, N = RunStatus.COMPLETED, RunStatus.RUNNING, RunStatus.NOT_STARTED
NOW = datetime.now(UTC)
STEPS = (
    StepRun("prepare", C, 0.4, reused_from="run-0", reason="REUSED from run run-0 (3fa2)"),
    StepRun("guardrails", C, 1.2, depends_on=("prepare",)),
    StepRun("train", R, depends_on=("prepare",), progress="trial 7, best accuracy 0.9161", started=NOW - timedelta(seconds=32)),
    StepRun("evaluate", N, depends_on=("train",)),
    StepRun("register", N, depends_on=("evaluate", "guardrails")),
)
RUN = PipelineRun("run-1", "nightly", R, STEPS, name="bank-training", started=NOW - timedelta(seconds=47))


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class StoppedClock(datetime):
    """It is always `NOW`."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> StoppedClock:
        return cls.fromtimestamp(NOW.timestamp(), tz)


def _drawn(run: PipelineRun, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(draw_graph(run))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_layers() -> None:
    """A step stands after all that it waits for; a run that tells nothing is a chain, and a cycle has an end."""
    assert [[step.name for step in layer] for layer in layers(STEPS)] == [
        ["prepare"],
        ["guardrails", "train"],
        ["evaluate"],
        ["register"],
    ]
    chain = [replace(step, depends_on=()) for step in STEPS]
    assert [len(layer) for layer in layers(chain)] == [1] * 5
    cycle = (StepRun("a", N, depends_on=("b",)), StepRun("b", N, depends_on=("a",)))
    assert sum(len(layer) for layer in layers(cycle)) == 2
    assert layers(()) == []


def test_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step is a line with its sign, time and newest word; parallel ones are branches, and what is unusual is said."""
    monkeypatch.setattr(run_graph, "datetime", StoppedClock)
    lines = _drawn(RUN)
    assert lines[0].strip() == "bank-training  Running  2 of 5 steps  0:47"
    assert [line.split()[:2] for line in lines[1:3]] == [["↺", "prepare"], ["├─✔", "guardrails"]]
    assert lines[3].startswith("└─")
    assert "0:32" in lines[3]
    assert "trial 7, best accuracy 0.9161" in lines[3]
    assert "after train" in lines[4]
    assert "after evaluate, guardrails" in lines[5]
    assert max(map(len, lines)) <= 80


def test_a_step_that_is_left_out() -> None:
    """A step that will not run any more says why."""
    steps = (replace(STEPS[2], status=RunStatus.FAILED, error="no luck"), replace(STEPS[3], reason="the run failed before"))
    assert _drawn(replace(RUN, steps=steps))[-1].endswith("the run failed before")


def test_long_words() -> None:
    """A long line ends at the terminal's edge, and no control character gets through."""
    steps = (replace(STEPS[2], name="train\x1b[2J", progress="x" * 300),)
    lines = _drawn(replace(RUN, name="\x1b]0;title\x07", steps=steps))
    assert len(lines) == 2
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in "".join(lines)


def test_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph is live on a terminal, and makes room for the result."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    with watching_pipeline() as on_change:
        on_change(RUN)
    shown = terminal.getvalue()
    assert "best accuracy 0.9161" in shown
    assert "✔" in shown
    assert shown.endswith("\x1b[2K\x1b[?25h") or "\x1b[2K" in shown[-20:]


def test_signs_of_an_old_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that lacks the signs shows others."""
    terminal = Terminal()
    terminal.encoding = "ascii"  # type: ignore[misc]
    monkeypatch.setattr(sys, "stderr", terminal)
    assert "".join(_drawn(RUN)).isascii()
    with watching_pipeline() as on_change:
        on_change(RUN)
    assert "best accuracy 0.9161" in terminal.getvalue()
    assert terminal.getvalue().isascii()


def test_lines_tell_the_best_score(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere a line says the step and what the search that it started says."""
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    backend = MemoryBackend()
    training = replace(STEPS[2], progress="", run_id="AutoML_1")
    monkeypatch.setattr(
        backend, "get_run", lambda _id: Run("AutoML_1", "nightly", R, progress="trial 3, best accuracy 0.91"), raising=True
    )
    states = iter(
        [replace(RUN, steps=(STEPS[0], training)), replace(RUN, status=C, steps=(STEPS[0], replace(training, status=C)))]
    )
    monkeypatch.setattr(backend, "get_pipeline_run", lambda _id: next(states))
    assert await_pipeline_run(backend, "run-1").status is C
    assert "pipeline: train, step 2 of 2: trial 3, best accuracy 0.91" in capfd.readouterr().err.splitlines()
