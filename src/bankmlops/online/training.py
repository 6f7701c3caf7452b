"""What the loop needs of a backend: an AutoML run on a window of the stream, and the bundle of a run's model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow
import pyarrow.parquet

from bankmlops.backend import Backend
from bankmlops.datasets.whole_files import whole_file, write_errors
from bankmlops.errors import InvalidRequestError, RunFailedError
from bankmlops.online.stream import Columns
from bankmlops.runs import GRACE_SECONDS, started, wait
from bankmlops.types import AutoMLConfig, Dataset, DataSource, Run, RunStatus

PRIMARY_METRIC = "AUC_weighted"
_BUNDLE = "outputs/bundle"
_FILES = ("features.json", "model.onnx")
_RUN = "run.json"

OnRun = Callable[[Run], None]


@dataclass(frozen=True, slots=True)
class WindowTraining:
    """Trains on windows of the stream `name`, `minutes` each; `on_run` is told how each run goes on."""

    backend: Backend
    name: str
    label_column: str
    minutes: float
    synthetic: bool
    on_run: OnRun | None = None

    def __call__(self, columns: Columns, folder: Path) -> Path:
        """The bundle of the winner; one that was trained on the same rows into this folder before is taken as it is.

        Raises `RunFailedError`, and what `Backend.submit_automl` raises. A Ctrl-C cancels the run.
        """
        folder.mkdir(parents=True, exist_ok=True)
        dataset = self.register(columns, folder)
        if not _was_trained_on(dataset, folder):
            run_id = self._train(dataset)
            fetch_bundle(self.backend, run_id, folder)
            (folder / _RUN).write_text(json.dumps({"run_id": run_id, "sha256": dataset.sha256}) + "\n")
        return folder

    def register(self, columns: Columns, folder: Path) -> Dataset:
        """The window as a version of the dataset `online-NAME`."""
        path = folder / "window.parquet"
        table = pyarrow.table({name: pyarrow.array(array, from_pandas=True) for name, array in columns.items()})
        with write_errors(path), whole_file(path) as partial:
            pyarrow.parquet.write_table(table, partial)
        return self.backend.register_dataset(f"online-{self.name}", DataSource(path, self.synthetic), self.label_column)

    def config(self, dataset: Dataset) -> AutoMLConfig:
        """What is asked for of each run."""
        return AutoMLConfig(
            dataset=dataset,
            experiment_name=f"online-{self.name}",
            primary_metric=PRIMARY_METRIC,
            experiment_timeout_minutes=self.minutes,
            model_explainability=False,
            tags={"online": self.name},
        )

    def _train(self, dataset: Dataset) -> str:
        with started(lambda: self.backend.submit_automl(self.config(dataset)).id, self.backend.cancel_run) as run_id:
            seconds = self.minutes * 60 + GRACE_SECONDS
            run = wait(self.backend.get_run, run_id, timeout_seconds=seconds, on_change=self.on_run)
        if run.status is not RunStatus.COMPLETED:
            raise RunFailedError(f"run {run.id} on the newest labels ended {run.status}: {run.error or 'no reason given'}")
        return run.id


def _was_trained_on(dataset: Dataset, folder: Path) -> bool:
    try:
        return bool(json.loads((folder / _RUN).read_text())["sha256"] == dataset.sha256)
    except (FileNotFoundError, ValueError, KeyError):
        return False


def fetch_bundle(backend: Backend, run_id: str, folder: Path) -> Path:
    """Copy what answers of a run's model into the folder. Raises `InvalidRequestError` where the run has no bundle."""
    there = backend.list_artifacts(run_id)
    for name in _FILES:
        if f"{_BUNDLE}/{name}" not in there:
            raise InvalidRequestError(f"run {run_id} has no {_BUNDLE}/{name}: its model can't be asked here")
        backend.download_artifact(run_id, f"{_BUNDLE}/{name}", folder)
    return folder
