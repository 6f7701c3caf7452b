"""An AutoML run as MLflow shows it: a parent run, a nested run for each trial, the dataset as an input, the files, and the model.

All goes through a client of the workspace's own store: MLflow's global state (active run, tracking address) is left alone.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bankmlops.local.datasets import Datasets
from bankmlops.local.pipelines.documents import from_document
from bankmlops.local.training.automl_records import AutoMLRecord, AutoMLRecords, TrialRecord
from bankmlops.local.training.mlflow_model import save_pipeline
from bankmlops.local.training.mlflow_store import (
    RUN_ID_TAG,
    find_experiment,
    mlflow_errors,
    mlflow_status,
    open_store,
    store_exists,
)
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import ChildRun, Dataset, Parity, RunStatus

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput
    from pyarrow import Schema

MODEL_FILE = "model.pkl"
ALGORITHM_TAG = "algorithm"
_APART = frozenset({"bundle", MODEL_FILE})  # the bundle is what is served, and the model is logged as a model
_PARITY = "parity"
_SYNTHETIC_NOTE = "Trained on SYNTHETIC data: its scores say nothing about real customers."
_NOT_PARAMETERS = frozenset({"dataset", "experiment_name", "tags"})


@dataclass(frozen=True, slots=True)
class Completion:
    """What the training process knows of a run that has a winner; `tags` are what it learnt while it ran."""

    winner: ChildRun
    parity: Parity
    input_example: dict[str, Any]
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MLflowNames:
    """What MLflow calls the parent run and its logged model."""

    run_id: str
    model_id: str


class MLflowRun:
    """Writes one AutoML run while it runs; each method may raise `BackendUnavailableError`."""

    def __init__(self, workspace: LocalWorkspace, record: AutoMLRecord, datasets: Datasets) -> None:
        self._workspace = workspace
        self._record = record
        self._client = open_store(workspace)
        given = _dataset_input(record.config.dataset, datasets)
        with mlflow_errors(workspace):
            self._experiment_id = find_experiment(self._client, workspace, record.config.experiment_name)
            self._run_id = self._begin(given)

    def add_trial(self, trial: TrialRecord) -> None:
        """A nested run with the trial's own start and end."""
        child = trial.child
        began = trial.ended - timedelta(seconds=child.seconds)
        tags = {"mlflow.parentRunId": self._run_id, ALGORITHM_TAG: child.algorithm, "iteration": str(child.iteration)}
        if trial.error:
            tags["error"] = trial.error
        with mlflow_errors(self._workspace):
            run_id = self._create_run(f"{child.iteration} {child.algorithm}", began, tags)
            self._log(run_id, child.metrics, child.parameters, {})
            self._client.set_terminated(run_id, mlflow_status(child.status), end_time=_milliseconds(trial.ended))

    def complete(self, outputs: Path, completion: Completion) -> MLflowNames:
        """Log the winner's metrics, the model and every other file of `outputs`, and end the run."""
        winner = completion.winner
        tags = {ALGORITHM_TAG: winner.algorithm, "best_child_id": winner.id, **parity_tags(completion.parity), **completion.tags}
        with mlflow_errors(self._workspace):
            model_id = self._log_model(outputs / MODEL_FILE, completion)
            self._log_files(outputs)
            self._log(self._run_id, winner.metrics, {}, tags, model_id)
            self._client.set_terminated(self._run_id, mlflow_status(RunStatus.COMPLETED))
        return MLflowNames(self._run_id, model_id)

    def end(self, status: RunStatus, error: str) -> None:
        """End a run that has no winner."""
        with mlflow_errors(self._workspace):
            if error:
                self._client.set_tag(self._run_id, "error", error)
            self._client.set_terminated(self._run_id, mlflow_status(status))

    def _begin(self, given: DatasetInput) -> str:
        record = self._record
        note = {"mlflow.note.content": _SYNTHETIC_NOTE} if record.config.dataset.synthetic else {}
        run_id = self._create_run(record.run.id, record.run.started, {**record.run.tags, **note})
        self._log(run_id, {}, _parameters(record), {})
        with self._workspace.lock("mlflow-inputs"):  # MLflow looks for the dataset, then adds it: two at once would collide
            self._client.log_inputs(run_id, datasets=[given])
        return run_id

    def _create_run(self, name: str, began: datetime | None, tags: Mapping[str, str]) -> str:
        own = {RUN_ID_TAG: self._record.run.id, "mlflow.source.name": "bankmlops", "mlflow.source.type": "LOCAL"}
        start = _milliseconds(began) if began else None
        return str(self._client.create_run(self._experiment_id, start, {**tags, **own}, run_name=name).info.run_id)

    def _log(
        self,
        run_id: str,
        metrics: Mapping[str, float],
        parameters: Mapping[str, str],
        tags: Mapping[str, str],
        model_id: str = "",
    ) -> None:
        """One transaction for all of it; metrics that belong to a model name it."""
        from mlflow.entities import Metric, Param, RunTag

        now = _milliseconds(datetime.now().astimezone())
        self._client.log_batch(
            run_id,
            metrics=[Metric(name, value, now, 0, model_id=model_id or None) for name, value in metrics.items()],
            params=[Param(name, value) for name, value in parameters.items()],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )

    def _log_files(self, outputs: Path) -> None:
        for path in sorted(outputs.rglob("*")):
            relative = path.relative_to(outputs)
            if path.is_file() and relative.parts[0] not in _APART:
                folder = relative.parent.as_posix()
                self._client.log_artifact(self._run_id, str(path), None if folder == "." else folder)

    def _log_model(self, path: Path, completion: Completion) -> str:
        import joblib
        from mlflow.entities import LoggedModelOutput
        from mlflow.models import Model

        logged = self._client.create_logged_model(
            self._experiment_id, "model", self._run_id, tags=self._model_tags(completion), model_type="sklearn"
        )
        described = Model(logged.artifact_location, self._run_id, model_uuid=logged.model_id, model_id=logged.model_id)
        label_column = self._record.config.dataset.label_column
        with tempfile.TemporaryDirectory(dir=path.parent.parent, prefix="mlflow-model-") as temporary:
            folder = Path(temporary) / "model"
            save_pipeline(joblib.load(path), completion.input_example, label_column, described, folder)
            self._client.log_model_artifacts(logged.model_id, str(folder))
        self._client.finalize_logged_model(logged.model_id, "READY")
        self._client.log_outputs(self._run_id, [LoggedModelOutput(logged.model_id, 0)])
        return str(logged.model_id)

    def _model_tags(self, completion: Completion) -> dict[str, str]:
        synthetic = {"synthetic": "true"} if self._record.config.dataset.synthetic else {}
        return {RUN_ID_TAG: self._record.run.id, ALGORITHM_TAG: completion.winner.algorithm, **synthetic}


def parity_tags(parity: Parity) -> dict[str, str]:
    """The numbers of the export's gate as tags."""
    return {f"{_PARITY}.{name}": repr(getattr(parity, name)) for name in Parity.__dataclass_fields__}


def parity_of(tags: Mapping[str, str]) -> Parity:
    """What `parity_tags` wrote."""
    return from_document(Parity, {name: json.loads(tags[f"{_PARITY}.{name}"]) for name in Parity.__dataclass_fields__})


def close(workspace: LocalWorkspace, run_id: str, status: RunStatus) -> None:
    """End what MLflow still takes for running of an AutoML run whose process is gone, its trials included."""
    still_running = " AND attributes.status = 'RUNNING'"
    _for_each(workspace, run_id, still_running, lambda client, it: client.set_terminated(it, mlflow_status(status)))


def forget(workspace: LocalWorkspace, run_id: str) -> None:
    """Delete what MLflow has of an AutoML run that will be written anew, its trials included."""
    _for_each(workspace, run_id, "", lambda client, it: client.delete_run(it))


def _for_each(workspace: LocalWorkspace, run_id: str, condition: str, act: Callable[[Any, str], None]) -> None:
    """Act on MLflow's ids of an AutoML run and of its trials, until none is left that the condition holds for."""
    if not store_exists(workspace):
        return
    client = open_store(workspace)
    with mlflow_errors(workspace):
        experiment = client.get_experiment_by_name(AutoMLRecords(workspace).read(run_id).config.experiment_name)
        wanted = f"tags.`{RUN_ID_TAG}` = '{run_id}'{condition}"
        while experiment and (found := client.search_runs([experiment.experiment_id], wanted, max_results=1000)):
            for run in found:
                act(client, str(run.info.run_id))


def _parameters(record: AutoMLRecord) -> dict[str, str]:
    """The configuration as it was asked for; an empty list or no value is left out."""
    config = record.config
    asked = {name: getattr(config, name) for name in config.__dataclass_fields__ if name not in _NOT_PARAMETERS}
    texts = {name: ", ".join(value) if isinstance(value, tuple) else value for name, value in asked.items()}
    if config.validation_dataset:
        texts["validation_dataset"] = f"{config.validation_dataset.name} version {config.validation_dataset.version}"
    return {name: str(value) for name, value in texts.items() if value not in ("", None)}


def _dataset_input(dataset: Dataset, datasets: Datasets) -> DatasetInput:
    """The registered version as MLflow's own entity; its digest is the version, a prefix of the content's sha256."""
    from mlflow.entities import Dataset as MLflowDataset
    from mlflow.entities import DatasetInput, InputTag

    described = MLflowDataset(
        name=dataset.name,
        digest=dataset.version,
        source_type="local",
        source=json.dumps({"uri": datasets.parquet(dataset).as_uri(), "sha256": dataset.sha256}),
        schema=json.dumps({"mlflow_colspec": _column_specifications(datasets.schema(dataset))}),
        profile=json.dumps({"num_rows": dataset.rows, "num_elements": dataset.rows * len(dataset.columns)}),
    )
    tags = {"mlflow.data.context": "training", "label_column": dataset.label_column, "synthetic": str(dataset.synthetic).lower()}
    return DatasetInput(described, [InputTag(name, value) for name, value in tags.items()])


def _column_specifications(schema: Schema) -> list[dict[str, Any]]:
    from pyarrow import types

    kinds = (
        (types.is_boolean, "boolean"),
        (types.is_integer, "long"),
        (types.is_floating, "double"),
    )
    names = [next((kind for test, kind in kinds if test(field.type)), "string") for field in schema]
    return [{"type": kind, "name": field.name, "required": not field.nullable} for field, kind in zip(schema, names, strict=True)]


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
