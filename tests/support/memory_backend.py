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
from bankmlops.pipelines import DEFAULT_OPTIONS, Pipeline, RunOptions
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
    LabelledRow,
    Model,
    Outcome,
    OutcomeReceipt,
    Parity,
    PipelineConfig,
    PipelineEndpoint,
    PipelineRun,
    PublishedPipeline,
    RefusedOutcome,
    Run,
    RunStatus,
    Schedule,
    ScheduleConfig,
    ScheduleStatus,
    StepRun,
    TrainedModel,
    Workspace,
)
from bankmlops.types.defaults import NO_TAGS

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
        self.pipeline_endpoints: list[PipelineEndpoint] = []
        self.schedules: dict[str, Schedule] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self.served_before: dict[str, tuple[str, str]] = {}
        self.logs: list[list[str]] = [[]]
        self.telemetry: list[Path] = []
        self.labelled: list[LabelledRow] = []
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

    def list_runs(self, tags: Mapping[str, str] = NO_TAGS) -> Sequence[Run]:
        return [run for run in self.runs if tags.items() <= run.tags.items()]

    def cancel_run(self, run_id: str) -> None:
        self.calls.append(("cancel", run_id))

    def resume_run(self, run_id: str) -> Run:
        self.calls.append(("resume", run_id))
        return replace(DONE, id=run_id, status=RunStatus.NOT_STARTED, metrics={}, ended=None)

    def continue_run(self, run_id: str, minutes: float, dataset: Dataset | None = None) -> Run:
        self.calls.append(("continue", run_id, minutes, dataset and dataset.name))
        return replace(DONE, id="AutoML_8", status=RunStatus.NOT_STARTED, tags={"continues": run_id}, metrics={}, ended=None)

    def record_run(self, trained: TrainedModel) -> Run:
        self.calls.append(trained)
        run = replace(DONE, id=f"Online_{len(self.calls)}", best_algorithm=trained.algorithm, metrics=trained.metrics)
        self.runs.insert(0, run)
        return run

    def list_children(self, run_id: str) -> Sequence[ChildRun]:
        self.calls.append(run_id)
        metrics = {"accuracy": 0.9161, "log_loss": 0.21}
        return [ChildRun(f"{run_id}_3", 3, "LightGBM", RunStatus.COMPLETED, 0.9161, metrics, {}, 2.25)]

    def list_trials(self, run_id: str) -> Sequence[ChildRun]:
        given_up = ChildRun(
            f"{run_id}_4", 4, "RandomForest", RunStatus.CANCELED, float("nan"), seconds=1.5, error="given up: worse"
        )
        return [*self.list_children(run_id), given_up]

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

    def set_data_collection(self, name: str, enabled: bool) -> Endpoint:
        return replace(self.get_endpoint(name), collect_model_data=enabled)

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

    def record_outcomes(self, name: str, outcomes: Sequence[Outcome]) -> OutcomeReceipt:
        self.get_endpoint(name)
        self.calls.append(tuple(outcomes))
        refusals = tuple(
            RefusedOutcome(index, "NotFound", f"request {each.request_id!r}: the endpoint has collected no such row")
            for index, each in enumerate(outcomes)
            if each.request_id == "nobody"
        )
        return OutcomeReceipt(len(outcomes) - len(refusals), 0, len(refusals), refusals)

    def list_outcomes(self, name: str, after: int = 0) -> Sequence[LabelledRow]:
        self.get_endpoint(name)
        return [each for each in self.labelled if each.number > after]

    def delete_endpoint(self, name: str) -> None:
        self.calls.append(("delete", name))

    def submit_pipeline(self, pipeline: PipelineConfig | Pipeline, options: RunOptions = DEFAULT_OPTIONS) -> PipelineRun:
        self.calls.append(pipeline if options == DEFAULT_OPTIONS else (pipeline, options))
        return PipelineRun("run-9", "submitted", RunStatus.NOT_STARTED)

    def publish_pipeline(self, pipeline: PipelineConfig | Pipeline, version: str, description: str = "") -> PublishedPipeline:
        self.calls.append((pipeline, version, description))
        return PublishedPipeline("id-1", pipeline.name, version, "http://127.0.0.1:1/pipelines/id-1/submit")

    def get_published_pipeline(self, pipeline_id: str) -> PublishedPipeline:
        found = [each for each in self.pipelines if each.id == pipeline_id]
        if not found:
            raise NotFoundError(f"there is no published pipeline {pipeline_id!r}")
        return found[0]

    def list_published_pipelines(self) -> Sequence[PublishedPipeline]:
        return self.pipelines

    def disable_pipeline(self, pipeline_id: str) -> None:
        self.calls.append(("disable", pipeline_id))

    def enable_pipeline(self, pipeline_id: str) -> None:
        self.pipelines = [replace(each, status="Active") if each.id == pipeline_id else each for each in self.pipelines]

    def create_pipeline_endpoint(self, name: str, pipeline_id: str, description: str = "") -> PipelineEndpoint:
        made = PipelineEndpoint(
            f"e{len(self.pipeline_endpoints)}", name, f"http://e/{name}", "0", {"0": pipeline_id}, "Active", description
        )
        self.pipeline_endpoints.append(made)
        return made

    def get_pipeline_endpoint(self, endpoint_id: str) -> PipelineEndpoint:
        for each in self.pipeline_endpoints:
            if each.id == endpoint_id:
                return each
        raise NotFoundError(f"no pipeline endpoint has the id {endpoint_id!r}")

    def list_pipeline_endpoints(self) -> Sequence[PipelineEndpoint]:
        return self.pipeline_endpoints

    def set_default_pipeline(self, endpoint_id: str, pipeline_id: str) -> PipelineEndpoint:
        found = self.get_pipeline_endpoint(endpoint_id)
        version = str(len(found.versions))
        return self._put(replace(found, versions={**found.versions, version: pipeline_id}, default_version=version))

    def enable_pipeline_endpoint(self, endpoint_id: str) -> None:
        self._put(replace(self.get_pipeline_endpoint(endpoint_id), status="Active"))

    def disable_pipeline_endpoint(self, endpoint_id: str) -> None:
        self._put(replace(self.get_pipeline_endpoint(endpoint_id), status="Disabled"))

    def schedule_pipeline(self, config: ScheduleConfig) -> Schedule:
        self.calls.append(config)
        self.schedules[config.name] = Schedule(f"s-{config.name}", config, ScheduleStatus.ACTIVE, STARTED, STARTED)
        return self.schedules[config.name]

    def get_schedule(self, schedule_id: str) -> Schedule:
        for each in self.schedules.values():
            if each.id == schedule_id:
                return each
        raise NotFoundError(f"no schedule has the id {schedule_id!r}")

    def list_schedules(self) -> Sequence[Schedule]:
        return tuple(self.schedules.values())

    def pause_schedule(self, schedule_id: str) -> Schedule:
        return self._set_status(schedule_id, ScheduleStatus.PAUSED)

    def resume_schedule(self, schedule_id: str) -> Schedule:
        return self._set_status(schedule_id, ScheduleStatus.ACTIVE)

    def delete_schedule(self, schedule_id: str) -> None:
        del self.schedules[self.get_schedule(schedule_id).config.name]

    def _set_status(self, schedule_id: str, status: ScheduleStatus) -> Schedule:
        changed = replace(self.get_schedule(schedule_id), status=status)
        self.schedules[changed.config.name] = changed
        return changed

    def _put(self, endpoint: PipelineEndpoint) -> PipelineEndpoint:
        self.pipeline_endpoints = [endpoint if each.id == endpoint.id else each for each in self.pipeline_endpoints]
        return endpoint

    def get_pipeline_run(self, run_id: str) -> PipelineRun:
        steps = (StepRun("prepare", RunStatus.COMPLETED, 0.5), StepRun("automl", RunStatus.COMPLETED, 30.0))
        return self._next(PipelineRun(run_id, "nightly", RunStatus.COMPLETED, steps))

    def list_pipeline_runs(self) -> Sequence[PipelineRun]:
        return self.pipeline_runs

    def cancel_pipeline_run(self, run_id: str) -> None:
        self.calls.append(("cancel", run_id))

    def resubmit_pipeline_run(self, run_id: str, from_step: str = "") -> PipelineRun:
        self.calls.append(("resubmit", run_id, from_step))
        return PipelineRun("run-10", "submitted", RunStatus.NOT_STARTED, resubmitted_from=run_id)

    def get_step_log(self, run_id: str, step: str) -> Sequence[str]:
        return [f"{run_id} {step} begins", "done"]

    def download_step_output(self, run_id: str, step: str, output: str, to: Path) -> Path:
        return to / f"{output}.txt"

    def costly_resources(self) -> Sequence[CostlyResource]:
        return [CostlyResource("compute cluster", "automl-cluster")]

    def release(self, resource: CostlyResource) -> None:
        self.calls.append(resource)

    def _next(self, otherwise: Any) -> Any:
        change = self.changes.pop(0) if self.changes else otherwise
        if isinstance(change, BaseException):
            raise change
        return change
