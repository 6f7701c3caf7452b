"""What a person sees of the flow: a line a step on stdout, and on stderr how the present one goes on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any

from bankmlops.cli.output import emit_rich
from bankmlops.cli.progress import watching
from bankmlops.cli.text import one_line
from bankmlops.types import PipelineRun, Run

if TYPE_CHECKING:
    from bankmlops.evidence import Step

NAME_WIDTH = 22


class FlowReport:
    """Watches a flow; `budgets` are the minutes of the steps that have them. Where the result is JSON, the lines go to stderr."""

    def __init__(self, as_json: bool, budgets: Mapping[str, float]) -> None:
        self._as_json = as_json
        self._budgets = budgets
        self._watched = ExitStack()
        self._on_change: Callable[[Run | PipelineRun], None] = lambda _: None
        self._started = time.monotonic()

    def __enter__(self) -> FlowReport:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """The last line: all steps together, and whether they passed."""
        self._watched.close()
        self._line("total", time.monotonic() - self._started, "", ok=kind is None)

    def step_started(self, name: str) -> None:
        """Show what begins."""
        self._on_change = self._watched.enter_context(watching(name, self._budgets.get(name)))

    def step_finished(self, step: Step, detail: str) -> None:
        """Let its line stand in the place of its progress."""
        self._watched.close()
        self._line(step.name, step.seconds, detail, ok=step.ok)

    def run_changed(self, run: Run | PipelineRun) -> None:
        """Show how the run of this step goes on."""
        self._on_change(run)

    def _line(self, name: str, seconds: float, detail: str, *, ok: bool) -> None:
        if self._as_json:
            sys.stderr.write(f"{_mark(ok)} {name:<{NAME_WIDTH}} {seconds:7.1f} s  {one_line(detail)}".rstrip() + "\n")
            return
        emit_rich(_drawn(name, seconds, detail, ok=ok))


def _drawn(name: str, seconds: float, detail: str, *, ok: bool) -> Any:
    from rich.table import Table
    from rich.text import Text

    line = Table.grid(padding=(0, 1))
    line.add_column(width=1)
    line.add_column(width=NAME_WIDTH)
    line.add_column(width=9, justify="right")
    line.add_column(overflow="fold")
    mark = Text(_mark(ok), style="green" if ok else "bold red")
    line.add_row(mark, Text(name, style="bold"), Text(f"{seconds:.1f} s"), Text(f" {one_line(detail)}", style="dim"))
    return line


def _mark(ok: bool) -> str:
    return "✓" if ok else "✗"
