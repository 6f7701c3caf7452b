"""A backend that keeps everything in memory: what the command line's unit tests turn words into calls on."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bankmlops.backend import Backend
from bankmlops.errors import ConflictError, NotFoundError
from bankmlops.types import (
    AutoMLConfig,
    ChildRun,
    CostlyResource,
    Dataset,
    DataSource,
    DeploymentConfig,
    Endpoint,
    EndpointKeys,
    EndpointState,
    KeyName,
    Model,
    Parity,
    PipelineConfig,
    PipelineRun,
    PublishedPipeline,
    Run,
    RunStatus,
    StepRun,
    Workspace,
)

STARTED = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DONE = Run(
    id="AutoML_1",
    experiment_name="bankmarketing-automl",
    status=RunStatus.COMPLETED,
    primary_metric="accuracy",
    best_algorithm="VotingEnsemble",
    metrics={"accuracy": 0.9161, "AUC_weighted": 0.9502, "log_loss": float("nan")},
    trials=7,
    started=STARTED,
    ended=STARTED + timedelta(seconds=58.5),
)


class MemoryBackend(Backend):
    """`calls` are the values that came in; `changes` are what a run looks like, one look after the other."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.changes: list[Run | PipelineRun | BaseException] = []
        self.runs: list[Run] = []
        self.pipelines: list[PublishedPipeline] = []
        self.pipeline_runs: list[PipelineRun] = []
        self.endpoints: dict[str, Endpoint] = {}
        self.served_before: dict[str, tuple[str, str]] = {}
        self.logs: list[list[str]] = [[]]
        self.telemetry: list[Path] = []
        self.keys = EndpointKeys("primary-1", "secondary-1")

    def authenticate(self) -> Workspace:
        return Workspace("memory", "nowhere")

    def authorization_header(self) -> Mapping[str, str]:
        return {"Authorization": "Bearer token"}

    def up(self) -> str:
        return "http://127.0.0.1:1"

    def down(self) -> None:
        self.calls.append("down")

    def register_dataset(self, name: str, source: DataSource, label_column: str) -> Dataset:
        self.calls.append((name, source, label_column))
        return Dataset(name, "1", 3000, ("age", "y"), label_column, "0" * 64, source.synthetic, STARTED)

    def get_dataset(self, name: str, version: str | None = None) -> Dataset:
        if name == "nobody":
            raise NotFoundError(f"there is no dataset {name!r}")
        return Dataset(name, version or "1", 3000, ("age", "y"), "y", "0" * 64)

    def list_datasets(self) -> Sequence[Dataset]:
        return [self.get_dataset("bank")]

    def submit_automl(self, config: AutoMLConfig) -> Run:
        self.calls.append(config)
        return replace(DONE, status=RunStatus.NOT_STARTED, metrics={}, trials=0, ended=None)

    def get_run(self, run_id: str) -> Run:
        return self._next(replace(DONE, id=run_id))

    def list_runs(self) -> Sequence[Run]:
        return self.runs

    def cancel_run(self, run_id: str) -> None:
        self.calls.append(("cancel", run_id))

    def resume_run(self, run_id: str) -> Run:
        self.calls.append(("resume", run_id))
        return replace(DONE, id=run_id, status=RunStatus.NOT_STARTED, metrics={}, ended=None)

    def list_children(self, run_id: str) -> Sequence[ChildRun]:
        self.calls.append(run_id)
        metrics = {"accuracy": 0.9161, "log_loss": 0.21}
        return [ChildRun(f"{run_id}_3", 3, "LightGBM", RunStatus.COMPLETED, 0.9161, metrics, {}, 2.25)]

    def list_artifacts(self, run_id: str) -> Sequence[str]:
        return ["outputs/leaderboard.csv", f"outputs/{run_id}.json"]

    def download_artifact(self, run_id: str, path: str, to: Path) -> Path:
        return to / Path(path).name

    def register_model(self, run_id: str, name: str) -> Model:
        self.calls.append((run_id, name))
        return Model(name, "2", run_id, "LightGBM", ("champion",), Parity(1.5e-7, 0, 3000))

    def get_model(self, name: str, version: str | None = None) -> Model:
        return Model(name, version or "2", "AutoML_1", "LightGBM")

    def list_models(self) -> Sequence[Model]:
        return [self.get_model("bank")]

    def deploy_model(self, model: Model, config: DeploymentConfig) -> Endpoint:
        self.calls.append((model, config))
        if config.name in self.endpoints:
            raise ConflictError(f"endpoint {config.name!r} exists already")
        return Endpoint(config.name, EndpointState.HEALTHY, "http://127.0.0.1:1/score", "", "process", model.name, model.version)

    def get_endpoint(self, name: str) -> Endpoint:
        if name not in self.endpoints:
            raise NotFoundError(f"there is no endpoint {name!r}")
        return self.endpoints[name]

    def list_endpoints(self) -> Sequence[Endpoint]:
        return list(self.endpoints.values())

    def set_app_insights(self, name: str, enabled: bool) -> Endpoint:
        return replace(self.get_endpoint(name), app_insights=enabled)

    def update_endpoint(self, name: str, model: Model) -> Endpoint:
        before = self.get_endpoint(name)
        self.served_before[name] = (before.model_name, before.model_version)
        self.endpoints[name] = replace(before, model_name=model.name, model_version=model.version)
        return self.endpoints[name]

    def rollback_endpoint(self, name: str) -> Endpoint:
        self.get_endpoint(name)
        if name not in self.served_before:
            raise ConflictError(f"endpoint {name!r} served no other model before")
        return self.update_endpoint(name, Model(*self.served_before[name], ""))

    def get_keys(self, name: str) -> EndpointKeys:
        return self.keys

    def regenerate_key(self, name: str, which: KeyName) -> EndpointKeys:
        self.calls.append((name, which))
        return replace(self.keys, **{which.value.lower(): "fresh"})

    def get_logs(self, name: str) -> Sequence[str]:
        if len(self.logs) > 1:
            return self.logs.pop(0)
        if self.changes:
            self._next(None)
        return self.logs[0]

    def download_telemetry(self, name: str, to: Path) -> Sequence[Path]:
        self.get_endpoint(name)
        return [Path(shutil.copy(path, to)) for path in self.telemetry]

    def delete_endpoint(self, name: str) -> None:
        self.calls.append(("delete", name))

    def submit_pipeline(self, config: PipelineConfig) -> PipelineRun:
        self.calls.append(config)
        return PipelineRun("run-9", "submitted", RunStatus.NOT_STARTED)

    def publish_pipeline(self, config: PipelineConfig, version: str, description: str = "") -> PublishedPipeline:
        self.calls.append((config, version, description))
        return PublishedPipeline("id-1", config.name, version, "http://127.0.0.1:1/pipelines/id-1/submit")

    def get_published_pipeline(self, pipeline_id: str) -> PublishedPipeline:
        found = [each for each in self.pipelines if each.id == pipeline_id]
        if not found:
            raise NotFoundError(f"there is no published pipeline {pipeline_id!r}")
        return found[0]

    def list_published_pipelines(self) -> Sequence[PublishedPipeline]:
        return self.pipelines

    def disable_pipeline(self, pipeline_id: str) -> None:
        self.calls.append(("disable", pipeline_id))

    def get_pipeline_run(self, run_id: str) -> PipelineRun:
        steps = (StepRun("prepare", RunStatus.COMPLETED, 0.5), StepRun("automl", RunStatus.COMPLETED, 30.0))
        return self._next(PipelineRun(run_id, "nightly", RunStatus.COMPLETED, steps))

    def list_pipeline_runs(self) -> Sequence[PipelineRun]:
        return self.pipeline_runs

    def cancel_pipeline_run(self, run_id: str) -> None:
        self.calls.append(("cancel", run_id))

    def costly_resources(self) -> Sequence[CostlyResource]:
        return [CostlyResource("compute cluster", "automl-cluster")]

    def release(self, resource: CostlyResource) -> None:
        self.calls.append(resource)

    def _next(self, otherwise: Any) -> Any:
        change = self.changes.pop(0) if self.changes else otherwise
        if isinstance(change, BaseException):
            raise change
        return change
