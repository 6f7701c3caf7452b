"""A pipeline run as a graph on a terminal: a line for each step with its state, its time and what it says, while it goes on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bankmlops.cli.progress import watching
from bankmlops.cli.text import one_line
from bankmlops.run_graph import lasted, layers, waits_for
from bankmlops.types import PipelineRun, RunStatus, StepRun

if TYPE_CHECKING:
    from rich.text import Text

_SIGNS: Mapping[RunStatus, tuple[str, str]] = MappingProxyType(
    {
        RunStatus.NOT_STARTED: ("○", "dim"),
        RunStatus.COMPLETED: ("✔", "green"),
        RunStatus.FAILED: ("✘", "bold red"),
        RunStatus.CANCELED: ("⊘", "yellow"),
    }
)
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAMES_PER_SECOND = 8
_PLAIN = str.maketrans("○✔✘⊘├└─↺" + _FRAMES, "o+xx|`-=" + ">" * len(_FRAMES))


@contextmanager
def watching_pipeline() -> Iterator[Callable[[PipelineRun], None]]:
    """Show how a pipeline run goes on: its graph on a terminal, a line now and then elsewhere."""
    if not sys.stderr.isatty():
        with watching("pipeline") as on_change:
            yield on_change
        return
    from rich.console import Console
    from rich.live import Live

    shown = _Shown()
    with Live(shown, console=Console(stderr=True), refresh_per_second=_FRAMES_PER_SECOND, transient=True):
        yield shown.change


class _Shown:
    """The newest state of the run, drawn anew at each refresh, since clocks go on between changes."""

    def __init__(self) -> None:
        self._run: PipelineRun | None = None

    def change(self, run: PipelineRun) -> None:
        """The run stands so from now on."""
        self._run = run

    def __rich__(self) -> Any:
        return draw_graph(self._run) if self._run else "waiting for the run"


def draw_graph(run: PipelineRun) -> Any:
    """The graph as rich draws it: steps of one layer stand below each other on a branch."""
    from rich.console import Group
    from rich.table import Table

    drawn = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    for style in ({"no_wrap": True}, {"justify": "right", "no_wrap": True}, {"no_wrap": True, "overflow": "ellipsis"}):
        drawn.add_column(**style)
    for line in _lines(run):
        drawn.add_row(*line)
    return Group(_headline(run), drawn)


def _headline(run: PipelineRun) -> Text:
    from rich.text import Text

    behind = sum(step.status is RunStatus.COMPLETED for step in run.steps)
    parts = [
        run.name or run.experiment_name or run.id,
        str(run.status),
        f"{behind} of {len(run.steps)} steps",
        _clock(run.started, run.ended),
    ]
    return Text("  ".join(one_line(part) for part in parts if part), style="bold", no_wrap=True, overflow="ellipsis")


def _lines(run: PipelineRun) -> Iterator[tuple[Text, Text, Text]]:
    waits, above = waits_for(run.steps), set[str]()
    for layer in layers(run.steps):
        for place, step in enumerate(layer):
            branch = "" if len(layer) == 1 else "└─" if place == len(layer) - 1 else "├─"
            told = "" if set(waits[step.name]) == above else f"after {', '.join(waits[step.name])}"
            yield _line(step, branch, told)
        above = {step.name for step in layer}


def _line(step: StepRun, branch: str, told: str) -> tuple[Text, Text, Text]:
    from rich.text import Text

    sign, style = _sign(step)
    name = Text.assemble((_printed(branch), "dim"), (_printed(sign), style), f" {one_line(step.name)}")
    return name, Text(_time(step), style="dim"), Text(one_line(saying(step) or told), style=_words_style(step))


def saying(step: StepRun) -> str:
    """What a step says of itself: why it failed, its newest line while it runs, what it found, why it was or wasn't reused."""
    if step.error:
        return step.error
    if step.status is RunStatus.RUNNING:
        return step.progress
    found = step.outputs.get("best_algorithm", "")
    return ", ".join(part for part in (found, step.reason) if part)


def _sign(step: StepRun) -> tuple[str, str]:
    if step.status is RunStatus.RUNNING:
        return _FRAMES[int(time.monotonic() * _FRAMES_PER_SECOND) % len(_FRAMES)], "cyan"
    return ("↺", "green") if step.reused_from and step.status is RunStatus.COMPLETED else _SIGNS[step.status]


def _printed(signs: str) -> str:
    """The signs, or others where the terminal's encoding lacks them."""
    stream: Any = getattr(sys.stderr, "rich_proxied_file", sys.stderr)  # what a live display puts in its place has no encoding
    try:
        signs.encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return signs.translate(_PLAIN)
    return signs


def _words_style(step: StepRun) -> str:
    return {RunStatus.FAILED: "red", RunStatus.RUNNING: ""}.get(step.status, "dim")


def _time(step: StepRun) -> str:
    if step.status is RunStatus.RUNNING:
        return _clock(step.started, None)
    return f"{step.seconds:.1f} s" if step.seconds else ""


def _clock(started: datetime | None, ended: datetime | None) -> str:
    seconds = lasted(started, ended)
    if seconds is None:
        return ""
    return f"{seconds // 60}:{seconds % 60:02d}"
