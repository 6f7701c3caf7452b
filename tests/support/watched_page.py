"""The control server's page in front of runs that a test tells how to stand: the real page, guard and sessions, no engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn

from bankmlops.errors import NotFoundError
from bankmlops.local.control.files import ControlFiles
from bankmlops.local.control.page_api import PageSources, page_router
from bankmlops.local.control.page_files import page_files_router
from bankmlops.local.control.room import ControlRoom
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import ChildRun, Dataset, Endpoint, PipelineRun, PublishedPipeline, Run, RunStatus, Schedule, StepRun

NOW = datetime.now(UTC)
C, R, N, F = RunStatus.COMPLETED, RunStatus.RUNNING, RunStatus.NOT_STARTED, RunStatus.FAILED
STEPS = (
    StepRun(
        "prepare", C, 0.4, kind="prepare", attempts=1, started=NOW, ended=NOW, outputs={"dataset": "bank:3", "rows": "41188"}
    ),
    StepRun("guardrails", N, kind="guardrails", depends_on=("prepare",)),
    StepRun("train", N, kind="automl", depends_on=("prepare",)),
    StepRun("evaluate", N, kind="evaluate", depends_on=("train", "guardrails")),
    StepRun("register", N, kind="register", depends_on=("evaluate",)),
)


@dataclass
class Shown:
    """What the page shows, as a backend and an engine in one."""

    workspace: LocalWorkspace
    pipeline_runs: list[PipelineRun] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    children: dict[str, Sequence[ChildRun]] = field(default_factory=dict)
    datasets: list[Dataset] = field(default_factory=list)
    endpoints: list[Endpoint] = field(default_factory=list)
    pipelines: list[PublishedPipeline] = field(default_factory=list)
    schedules: list[Schedule] = field(default_factory=list)

    @property
    def token(self) -> str:
        return ControlFiles(self.workspace).token()

    def read(self, run_id: str) -> PipelineRun:
        return _found(self.pipeline_runs, run_id)

    def list(self) -> Sequence[PipelineRun]:
        return tuple(self.pipeline_runs)

    def get_run(self, run_id: str) -> Run:
        return _found(self.runs, run_id)

    def list_runs(self) -> Sequence[Run]:
        return tuple(self.runs)

    def list_children(self, run_id: str) -> Sequence[ChildRun]:
        return self.children.get(run_id, ())

    def list_datasets(self) -> Sequence[Dataset]:
        return tuple(self.datasets)

    def list_endpoints(self) -> Sequence[Endpoint]:
        return tuple(self.endpoints)

    def list_published_pipelines(self) -> Sequence[PublishedPipeline]:
        return tuple(self.pipelines)

    def list_schedules(self) -> Sequence[Schedule]:
        return tuple(self.schedules)

    def change(self, run_id: str, /, **fields: Any) -> None:
        """A run stands otherwise from now on."""
        self.pipeline_runs = [replace(run, **fields) if run.id == run_id else run for run in self.pipeline_runs]

    def change_step(self, run_id: str, name: str, /, **fields: Any) -> None:
        """One step of it does."""
        steps = tuple(replace(step, **fields) if step.name == name else step for step in self.read(run_id).steps)
        self.change(run_id, steps=steps)


def _found(runs: Sequence[Any], run_id: str) -> Any:
    found = next((run for run in runs if run.id == run_id), None)
    if found is None:
        raise NotFoundError(f"there is no run {run_id!r}")
    return found


def started_run(run_id: str = "run-1", name: str = "bank-training") -> PipelineRun:
    """A run that has just prepared its data."""
    return PipelineRun(run_id, "bankmarketing", R, STEPS, started=NOW - timedelta(seconds=40), name=name, run_source="SDK")


@contextmanager
def serve_page(shown: Shown) -> Iterator[str]:
    """The address of the server."""
    app = ControlRoom(shown.workspace, shown).app  # type: ignore[arg-type]
    app.include_router(page_files_router())
    app.include_router(page_router(PageSources(shown.workspace, lambda: shown, shown)))  # type: ignore[arg-type, return-value]
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="off", log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.005)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def open_shown(folder: Path) -> Shown:
    """Nothing to show yet."""
    return Shown(LocalWorkspace(folder / "workspace"))
