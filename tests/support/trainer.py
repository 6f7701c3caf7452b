"""A backend that trains in no time: what a pipeline asks of a backend, and nothing behind it. For tests of the engine alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from dbos import DBOS

from bankmlops.errors import NotFoundError
from bankmlops.local.pipelines.database import sqlite_database
from bankmlops.local.pipelines.engine import PipelineEngine
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.pipelines import from_config
from bankmlops.types import AutoMLConfig, ChildRun, Dataset, Model, PipelineConfig, Run, RunStatus
from bankmlops.types.defaults import NO_TAGS

DATASET = Dataset("bank", "abc", 100, ("age", "y"), "y", "abc" * 20, created=datetime(2026, 1, 2, tzinfo=UTC))
CONFIG = PipelineConfig("bank-training", AutoMLConfig(dataset=DATASET, tags={"team": "risk"}), "bank")
PIPELINE = from_config(CONFIG)


class Trainer:
    """Each run ends at once with `status` and an accuracy of 0.9; with `holds` set, when `go_on` is called."""

    def __init__(self) -> None:
        self.dataset = DATASET
        self.status = RunStatus.COMPLETED
        self.error = ""
        self.runs: list[Run] = []
        self.asked: list[AutoMLConfig] = []
        self.models: list[Model] = []
        self.children: dict[str, Sequence[ChildRun]] = {}
        self._may_end = threading.Event()
        self._may_end.set()

    def hold(self) -> None:
        """Runs that are submitted from now on go on until `go_on`."""
        self._may_end.clear()

    def go_on(self) -> None:
        self._may_end.set()

    def get_dataset(self, name: str, version: str | None = None) -> Dataset:
        if name != self.dataset.name:
            raise NotFoundError(f"there is no dataset {name!r}")
        return self.dataset

    def submit_automl(self, config: AutoMLConfig) -> Run:
        run = Run(f"AutoML_{len(self.runs)}", config.experiment_name, RunStatus.RUNNING, "accuracy", tags=config.tags)
        self.runs.append(run)
        self.asked.append(config)
        return run

    def get_run(self, run_id: str) -> Run:
        number = next(number for number, run in enumerate(self.runs) if run.id == run_id)
        if self._may_end.is_set() and not self.runs[number].status.is_final:
            ended = {"status": self.status, "best_algorithm": "LightGBM", "metrics": {"accuracy": 0.9}, "error": self.error}
            self.runs[number] = replace(self.runs[number], **ended)  # type: ignore[arg-type]
        return self.runs[number]

    def list_runs(self, tags: Mapping[str, str] = NO_TAGS) -> Sequence[Run]:
        return tuple(run for run in reversed(self.runs) if tags.items() <= run.tags.items())

    def list_children(self, run_id: str) -> Sequence[ChildRun]:
        return self.children.get(run_id, ())

    def cancel_run(self, run_id: str) -> None:
        self.runs = [replace(run, status=RunStatus.CANCELED) if run.id == run_id else run for run in self.runs]

    def register_model(self, run_id: str, name: str) -> Model:
        version = 1 + sum(model.name == name for model in self.models)
        self.models.append(Model(name, str(version), run_id))
        return self.models[-1]

    def get_model(self, name: str, version: str | None = None) -> Model:
        found = [model for model in self.models if model.name == name and version in (None, model.version)]
        if not found:
            raise NotFoundError(f"there is no model {name!r}")
        return found[-1]


@contextmanager
def launched(system_database: Path, trainer: Trainer) -> Iterator[PipelineEngine]:
    """An engine that runs; DBOS is one a process."""
    workspace = LocalWorkspace(system_database.parent / "workspace")
    engine = PipelineEngine(sqlite_database(system_database), lambda: trainer, workspace)  # type: ignore[arg-type, return-value]
    engine.launch()
    try:
        yield engine
    finally:
        trainer.go_on()
        DBOS.destroy(destroy_registry=True)
