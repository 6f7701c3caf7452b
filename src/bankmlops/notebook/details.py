"""`RunDetails(run).show()`: a run in a notebook as it goes on, and as plain HTML once it has ended.

While the run goes on the cell holds a widget, beside the same as HTML for whatever shows no widgets; when it has ended the HTML
stays alone, so that a saved or exported notebook shows the end and needs no script, no widget and no network.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bankmlops.backend import Backend
from bankmlops.connect import connect
from bankmlops.errors import BankMLOpsError, InvalidRequestError
from bankmlops.notebook.html import AnyRun, draw
from bankmlops.run_graph import with_progress
from bankmlops.runs import wait
from bankmlops.types import PipelineRun, Run

_POLL_SECONDS = 1.0
_LONGEST_SECONDS = 7 * 24 * 3600.0
_WIDGET = "application/vnd.jupyter.widget-view+json"


@cache
def default_backend() -> Backend:
    """The backend that the commands use: `BANKMLOPS_BACKEND` (local) on `BANKMLOPS_WORKSPACE` (.bankmlops), authenticated."""
    workspace = Path(os.environ.get("BANKMLOPS_WORKSPACE", ".bankmlops"))
    backend = connect(os.environ.get("BANKMLOPS_BACKEND", "local"), workspace)
    backend.authenticate()
    return backend


class RunDetails:
    """A pipeline run, or an AutoML run, to look at; `backend` is where it runs, the default one if left out."""

    def __init__(self, run: PipelineRun | Run, backend: Backend | None = None) -> None:
        self._run: AnyRun = run
        self._backend = backend or default_backend()
        self._note = ""
        self._watching: threading.Thread | None = None

    def show(self) -> None:
        """Show the run below the cell, and go on showing how it stands; returns at once."""
        from IPython import display as notebook

        display: Any = notebook.display
        self._run = self._read(self._run.id)
        if self._run.status.is_final:
            display(self._bundle(), raw=True)
            return
        widget = _make_widget(self._html())
        shown = display(self._bundle(widget.model_id), raw=True, display_id=True)
        self._watching = threading.Thread(target=self._follow, args=(widget, shown), name="watching a run", daemon=True)
        self._watching.start()

    def wait(self) -> AnyRun:
        """The run when it has ended, and what `show` shows is its end. Raises `BackendUnavailableError`, as its reading does."""
        if self._watching is not None:
            self._watching.join()
        self._run = wait(self._read, self._run.id, timeout_seconds=_LONGEST_SECONDS, poll_seconds=_POLL_SECONDS)
        return self._run

    def _repr_html_(self) -> str:
        return self._html()

    def _follow(self, widget: Any, shown: Any) -> None:
        def change(run: AnyRun) -> None:
            self._run = run
            widget.html = self._html()

        try:
            wait(self._read, self._run.id, timeout_seconds=_LONGEST_SECONDS, poll_seconds=_POLL_SECONDS, on_change=change)
        except BankMLOpsError as error:
            self._note = f"not watched any more: {error}"
        shown.update(self._bundle(), raw=True)
        widget.close()

    def _read(self, run_id: str) -> Any:
        if isinstance(self._run, Run):
            return self._backend.get_run(run_id)
        return with_progress(self._backend.get_pipeline_run(run_id), self._backend.get_run)

    def _html(self) -> str:
        return draw(self._run, self._note)

    def _bundle(self, model_id: str = "") -> Mapping[str, Any]:
        """The display's data by type; with the widget of this model where one is given."""
        plain = {"text/plain": f"run {self._run.id}: {self._run.status}", "text/html": self._html()}
        return {**plain, _WIDGET: {"version_major": 2, "version_minor": 0, "model_id": model_id}} if model_id else plain


def _make_widget(html: str) -> Any:
    """Raises `InvalidRequestError` where what widgets stand on is not installed."""
    try:
        from bankmlops.notebook.widget import RunWidget
    except ModuleNotFoundError as error:
        if error.name != "anywidget":
            raise
        raise InvalidRequestError(
            "a live run needs anywidget, which is not installed: pip install 'bankmlops[notebook]'"
        ) from error
    return RunWidget(html=html)
