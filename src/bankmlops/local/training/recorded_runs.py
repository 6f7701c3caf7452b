"""Keeps a model that was trained elsewhere as a completed run: its files in the run's folder, its record, its MLflow run.

What was killed half-way is a run that failed: it is in no leaderboard, and can't be registered.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from uuid import uuid4

from bankmlops.errors import BankMLOpsError, InvalidRequestError
from bankmlops.local.disk import disk_errors
from bankmlops.local.names import check_name
from bankmlops.local.processes import own_identity
from bankmlops.local.training.automl_records import AutoMLRecords, Outcome, child_id
from bankmlops.local.training.automl_runs import KIND, OUTPUTS, AutoMLRuns
from bankmlops.local.training.mlflow_runs import Completion, MLflowNames
from bankmlops.local.training.mlflow_store import mlflow_errors, open_store
from bankmlops.local.training.mlflow_writer import MLflowWriter
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import ChildRun, Run, RunStatus, TrainedModel

_NEEDED = ("model.pkl", "bundle/model.json", "bundle/model.onnx", "bundle/features.json")
_METRICS_AT_ONCE = 1000  # MLflow's own limit


def record_run(workspace: LocalWorkspace, runs: AutoMLRuns, trained: TrainedModel) -> Run:
    """Keep it, and answer the completed run. Raises `InvalidRequestError` where a file is missing or the name can't serve."""
    check_name("experiment name", trained.config.experiment_name)
    missing = [name for name in _NEEDED if not (trained.outputs / name).is_file()]
    if missing:
        raise InvalidRequestError(f"{trained.outputs}: has no {missing[0]}, which a registered model needs")
    records, run_id = AutoMLRecords(workspace), f"Recorded_{uuid4()}"
    _copy(workspace, run_id, trained)
    records.add(run_id, trained.config, trained.config.tags)
    records.set_process(run_id, own_identity())
    records.start(run_id)
    try:
        records.complete(run_id, _write(workspace, records, run_id, trained))
    except BaseException as error:
        reason = str(error) if isinstance(error, BankMLOpsError) else type(error).__name__
        records.end(run_id, RunStatus.FAILED, f"not written whole: {reason}")
        raise
    return runs.get(run_id)


def _copy(workspace: LocalWorkspace, run_id: str, trained: TrainedModel) -> None:
    folder = workspace.folder_of(KIND, run_id)
    with disk_errors(folder):
        shutil.copytree(trained.outputs, folder / OUTPUTS)


def _write(workspace: LocalWorkspace, records: AutoMLRecords, run_id: str, trained: TrainedModel) -> Outcome:
    score = trained.metrics[trained.config.primary_metric]
    metrics, parameters = dict(trained.metrics), dict(trained.parameters)
    winner = ChildRun(child_id(run_id, 0), 0, trained.algorithm, RunStatus.COMPLETED, score, metrics, parameters, trained.seconds)
    records.put_child(run_id, winner)
    names = _write_mlflow(workspace, run_id, Completion(winner, trained.parity, dict(trained.input_example)))
    _write_curves(workspace, names, trained.curves)
    return Outcome(winner, trained.parity, names.run_id, names.model_id)


def _write_mlflow(workspace: LocalWorkspace, run_id: str, completion: Completion) -> MLflowNames:
    writer = MLflowWriter(workspace, run_id)
    try:
        return writer.complete(workspace.path_of(KIND, run_id) / OUTPUTS, completion)
    finally:
        writer.kill()


def _write_curves(workspace: LocalWorkspace, names: MLflowNames, curves: Mapping[str, tuple[tuple[int, float], ...]]) -> None:
    """Each as a metric whose steps are rows, which MLflow's pages draw."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    points = [Metric(name, value, now, step) for name, curve in curves.items() for step, value in curve]
    client = open_store(workspace)
    with mlflow_errors(workspace):
        for start in range(0, len(points), _METRICS_AT_ONCE):
            client.log_batch(names.run_id, metrics=points[start : start + _METRICS_AT_ONCE])
