"""A run in a notebook: what it looks like, and how it follows the run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bankmlops.errors import BackendUnavailableError
from bankmlops.notebook import RunDetails, details
from bankmlops.notebook.html import draw
from bankmlops.types import PipelineRun, Run, RunStatus, StepRun
from support.memory_backend import MemoryBackend

C, R, N = RunStatus.COMPLETED, RunStatus.RUNNING, RunStatus.NOT_STARTED
MARKUP = "<img src=x onerror=alert(1)>"
STEPS = (
    StepRun("prepare", C, 0.4, reason="REUSED from run run-0"),
    StepRun("guardrails", C, 1.2, depends_on=("prepare",)),
    StepRun("train", R, depends_on=("prepare",), progress="trial 7, best accuracy 0.9161", started=datetime.now(UTC)),
    StepRun("register", N, depends_on=("train", "guardrails")),
)
RUN = PipelineRun("run-1", "nightly", R, STEPS, name="bank-training")
ENDED = replace(RUN, status=C, steps=tuple(replace(step, status=C) for step in STEPS), outputs={"model": "bank:3"})


@dataclass
class Shown:
    """The cell's output and the widget in it, as they were told to change."""

    model_id: str = "model"
    html: str = ""
    bundles: list[Mapping[str, Any]] = field(default_factory=list)
    closed: bool = False

    def update(self, bundle: Mapping[str, Any], raw: bool) -> None:
        self.bundles.append(bundle)

    def close(self) -> None:
        self.closed = True


def test_a_graph_and_a_table() -> None:
    """A run is drawn with a line for each dependency, and says each step's state, reason and progress in a table."""
    html = draw(RUN)
    assert html.count('class="edge"') == 4
    assert html.count("data-step=") == 4
    for words in ("trial 7, best accuracy 0.9161", "REUSED from run run-0", "train, guardrails", "waiting"):
        assert words in html
    assert "model: bank:3" in re.sub("<[^>]+>", "", draw(ENDED))


def test_it_needs_nothing_from_elsewhere() -> None:
    """What is shown runs no script and loads nothing."""
    assert not re.search(r"<script|\bsrc=|\bhref=|https?://|@import|url\(", draw(RUN))


def test_markup_is_text() -> None:
    """Whatever a run, its steps and its outputs are called is text."""
    steps = tuple(replace(step, name=f"{MARKUP}{step.name}", progress=MARKUP, reason=MARKUP, error=MARKUP) for step in STEPS)
    html = draw(replace(RUN, name=MARKUP, error=MARKUP, steps=steps, outputs={MARKUP: MARKUP}, status=C), MARKUP)
    assert "<img" not in html
    assert "&lt;img" in html


def test_a_search() -> None:
    """An AutoML run shows how far it is, and in the end what won."""
    run = Run("AutoML_1", "bank", R, "accuracy", progress="trial 3, best accuracy 0.9", fraction=0.4)
    assert 'value="0.400"' in draw(run)
    assert "trial 3" in draw(run)
    won = replace(run, status=C, best_algorithm="VotingEnsemble", metrics={"accuracy": 0.9161})
    assert "VotingEnsemble, accuracy 0.9161" in draw(won)
    assert "<progress" not in draw(won)


def test_a_run_without_steps() -> None:
    """A run of which nothing is known yet is shown all the same."""
    assert "waiting" in draw(PipelineRun("run-1", "nightly", N))


def test_a_step_that_is_left_out() -> None:
    """A step that will not run any more does not wait: it says why."""
    left_out = StepRun("register", N, reason="the run failed before")
    shown = draw(PipelineRun("run-1", "nightly", RunStatus.FAILED, (left_out,)))
    assert "the run failed before" in shown
    assert "not run" in shown
    assert "waiting" not in shown


def test_it_follows_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The widget has each new state; at the end the cell keeps plain HTML alone, and the widget is closed."""
    monkeypatch.setattr(details, "_POLL_SECONDS", 0.001)
    backend = MemoryBackend()
    states = iter([replace(RUN, status=N), RUN, ENDED])
    monkeypatch.setattr(backend, "get_pipeline_run", lambda _id: next(states))
    shown = Shown()
    RunDetails(RUN, backend)._follow(shown, shown)
    assert "bank-training: completed" in shown.html
    assert [set(bundle) for bundle in shown.bundles] == [{"text/plain", "text/html"}]
    assert shown.closed


def test_it_says_when_it_stops_watching(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that is gone ends the watching, and is named below what was last known."""
    backend = MemoryBackend()

    def fail(_id: str) -> PipelineRun:
        raise BackendUnavailableError("no control server runs in this workspace; start it with `bankmlops up`")

    monkeypatch.setattr(backend, "get_pipeline_run", fail)
    shown = Shown()
    RunDetails(RUN, backend)._follow(shown, shown)
    assert "not watched any more: no control server runs" in shown.bundles[0]["text/html"]
    assert "bank-training: running" in shown.bundles[0]["text/html"]


def test_as_the_value_of_a_cell() -> None:
    """Without `show` it is its HTML."""
    assert "bank-training" in RunDetails(RUN, MemoryBackend())._repr_html_()


def test_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits gets the ended run, shown or not."""
    monkeypatch.setattr(details, "_POLL_SECONDS", 0.001)
    backend = MemoryBackend()
    states = iter([RUN, ENDED])
    monkeypatch.setattr(backend, "get_pipeline_run", lambda _id: next(states))
    assert RunDetails(RUN, backend).wait() == ENDED
