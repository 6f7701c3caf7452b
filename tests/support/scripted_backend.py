"""A double of what the emulator's bridge needs of a Backend: a run goes where the test says."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from bankmlops.errors import NotFoundError
from bankmlops.types import AutoMLConfig, ChildRun, Dataset, DataSource, Run, RunStatus
from bankmlops.types.defaults import NO_TAGS

FILES = {"outputs/model.pkl": pickle.dumps("the model"), "logs/worker.log": b"ok\n"}
METRICS = {"accuracy": 0.9, "AUC_weighted": 0.93}


@dataclass
class ScriptedBackend:
    """Its runs wait until `add_child`, `complete` or `fail` is called."""

    configs: dict[str, AutoMLConfig] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    children: dict[str, list[ChildRun]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=lambda: dict(FILES))

    def register_dataset(self, name: str, source: DataSource, label_column: str) -> Dataset:
        return Dataset(name, "1", 4, ("age", "y"), label_column, "0" * 64)

    def submit_automl(self, config: AutoMLConfig) -> Run:
        run_id = f"local-{len(self.runs)}"
        run = Run(run_id, config.experiment_name, RunStatus.NOT_STARTED, config.primary_metric, tags=config.tags)
        self.configs[run_id], self.runs[run_id], self.children[run_id] = config, run, []
        return run

    def get_run(self, run_id: str) -> Run:
        if run_id not in self.runs:
            raise NotFoundError(f"no run {run_id}")
        return self.runs[run_id]

    def list_runs(self, tags: Mapping[str, str] = NO_TAGS) -> Sequence[Run]:
        return [run for run in self.runs.values() if tags.items() <= run.tags.items()]

    def cancel_run(self, run_id: str) -> None:
        if not self.runs[run_id].status.is_final:
            self.runs[run_id] = replace(self.runs[run_id], status=RunStatus.CANCELED)

    def list_children(self, run_id: str) -> Sequence[ChildRun]:
        return sorted(self.children[run_id], key=lambda child: -child.score)

    def list_artifacts(self, run_id: str) -> Sequence[str]:
        return sorted(self.files)

    def download_artifact(self, run_id: str, path: str, to: Path) -> Path:
        file = to / Path(path).name
        file.write_bytes(self.files[path])
        return file

    # What a test does

    @property
    def last(self) -> str:
        return list(self.runs)[-1]

    def start(self, progress: str = "set-up") -> None:
        self.runs[self.last] = replace(
            self.runs[self.last], status=RunStatus.RUNNING, started=datetime.now(UTC), progress=progress, fraction=0.25
        )

    def add_child(self, iteration: int, algorithm: str, score: float) -> None:
        child = ChildRun(
            f"{self.last}_{iteration}", iteration, algorithm, RunStatus.COMPLETED, score, {"AUC_weighted": score}, {"n": "3"}, 1.5
        )
        self.children[self.last].append(child)

    def complete(self) -> None:
        best = self.list_children(self.last)[0]
        known = self.runs[self.last]
        self.runs[self.last] = replace(
            known, status=RunStatus.COMPLETED, best_child_id=best.id, best_algorithm=best.algorithm, metrics=METRICS
        )

    def fail(self, error: str) -> None:
        self.runs[self.last] = replace(self.runs[self.last], status=RunStatus.FAILED, error=error)
