"""Progress on stderr: a live bar where that is a terminal, a line now and then where it is not."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bankmlops.cli.text import one_line
from bankmlops.types import PipelineRun, Run, RunStatus, StepRun

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

LINE_SECONDS = 10.0
AnyRun = Run | PipelineRun


@contextmanager
def watching(title: str, minutes: float | None = None) -> Iterator[Callable[[AnyRun], None]]:
    """Show how a run goes on; each change of it is given to what this yields. `minutes` is its budget, where it has one."""
    if not sys.stderr.isatty():
        yield _Lines(title)
        return
    with _bar() as bar:
        yield _Bar(bar, title, minutes)


@contextmanager
def counting(title: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show how many of a known number are done, on a terminal alone."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    with _bar() as bar:
        task = bar.add_task(one_line(title), total=None, state="")
        yield lambda done, total: bar.update(task, completed=done, total=total or None, state=f"{done:,} {unit}")


class _Lines:
    """A line at each change of what a run says, but not more than one in ten seconds."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._last = -LINE_SECONDS
        self._said = ""

    def __call__(self, run: AnyRun) -> None:
        state = describe(run)
        now = time.monotonic()
        if state != self._said and (now - self._last >= LINE_SECONDS or run.status.is_final):
            sys.stderr.write(f"{self._title}: {one_line(state)}\n")
            sys.stderr.flush()
            self._last, self._said = now, state


class _Bar:
    """A bar as long as the run's fraction, with what it says and the time that its budget leaves."""

    def __init__(self, bar: Progress, title: str, minutes: float | None) -> None:
        self._bar = bar
        self._deadline = time.monotonic() + minutes * 60 if minutes else None
        self._task = bar.add_task(one_line(title), total=1.0 if minutes else None, state="", deadline=self._deadline)

    def __call__(self, run: AnyRun) -> None:
        total = 1.0 if isinstance(run, Run) or run.steps else None
        self._bar.update(self._task, completed=fraction(run), total=total, state=one_line(describe(run)))


def describe(run: AnyRun) -> str:
    """How a run stands, in a few words."""
    if run.status is RunStatus.NOT_STARTED:
        return "starting"
    if isinstance(run, Run):
        return run.progress or (f"{run.trials} trials" if run.trials else str(run.status))
    places = (_place(step, place, len(run.steps)) for place, step in enumerate(run.steps, 1) if not _is_behind(step))
    return str(run.status) if run.status.is_final else next(places, str(run.status))


def _place(step: StepRun, place: int, steps: int) -> str:
    return f"{step.name}, step {place} of {steps}" + (f": {step.progress}" if step.progress else "")


def _is_behind(step: StepRun) -> bool:
    return step.status is RunStatus.COMPLETED


def fraction(run: AnyRun) -> float:
    """The share of a run that is behind it, 0 to 1."""
    if isinstance(run, Run):
        return 1.0 if run.status is RunStatus.COMPLETED else run.fraction
    return sum(map(_is_behind, run.steps)) / len(run.steps) if run.steps else 0.0


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[state]}", markup=False),
        _time_left(),
        console=Console(stderr=True),
        transient=True,
    )


def _time_left() -> ProgressColumn:
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class TimeLeft(ProgressColumn):
        """What the budget leaves, which passes while the run says nothing."""

        def render(self, task: Task) -> Text:
            deadline = task.fields.get("deadline")
            if deadline is None:
                return Text("")
            left = max(0, round(deadline - time.monotonic()))
            return Text(f"{left // 60}:{left % 60:02d} left" if left else "finishing", style="cyan")

    return TimeLeft()
