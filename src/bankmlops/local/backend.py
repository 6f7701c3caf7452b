"""The Backend on this machine: each operation goes to the object of this room that keeps it. Nothing here costs money."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bankmlops.backend import Backend
from bankmlops.local.control.audit import AuditLog
from bankmlops.local.datasets import Datasets
from bankmlops.local.feedback.feedback import Feedback
from bankmlops.local.pipelines.addressed_endpoints import AddressedEndpoints
from bankmlops.local.pipelines.pipelines import Pipelines
from bankmlops.local.pipelines.schedules import Schedules
from bankmlops.local.serving.endpoints import Endpoints
from bankmlops.local.training.automl_runs import AutoMLRuns
from bankmlops.local.training.models import Models
from bankmlops.local.training.recorded_runs import record_run
from bankmlops.local.workspace import LocalWorkspace
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
    KeyName,
    LabelledRow,
    Model,
    Outcome,
    OutcomeReceipt,
    PipelineConfig,
    PipelineEndpoint,
    PipelineRun,
    PublishedPipeline,
    Run,
    Schedule,
    ScheduleConfig,
    TrainedModel,
    Workspace,
)
from bankmlops.types.defaults import NO_TAGS


class LocalBackend(Backend):
    """A workspace folder and the processes on this machine that work for it."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = LocalWorkspace(workspace)
        self._datasets = Datasets(self._workspace)
        self._runs = AutoMLRuns(self._workspace, self._datasets)
        self._models = Models(self._workspace, self._runs)
        self._endpoints = Endpoints(self._workspace, self._models)
        self._feedback = Feedback(self._workspace, self._endpoints, self._models)
        self._audit = AuditLog(self._workspace)
        self._pipelines = Pipelines(self._workspace)
        self._pipeline_endpoints = AddressedEndpoints(self._workspace)
        self._schedules = Schedules(self._workspace)

    # Identity

    def authenticate(self) -> Workspace:
        self._workspace.prepare()
        folder = self._workspace.folder
        return Workspace(name=folder.name, location=str(folder))

    def authorization_header(self) -> Mapping[str, str]:
        return self._pipelines.authorization_header()

    def up(self) -> str:
        return self._pipelines.up()

    def down(self) -> None:
        self._pipelines.down()

    # Data

    def register_dataset(self, name: str, source: DataSource, label_column: str) -> Dataset:
        return self._datasets.register(name, source, label_column)

    def get_dataset(self, name: str, version: str | None = None) -> Dataset:
        return self._datasets.get(name, version)

    def list_datasets(self) -> Sequence[Dataset]:
        return self._datasets.list()

    # Training

    def submit_automl(self, config: AutoMLConfig) -> Run:
        return self._runs.submit(config)

    def get_run(self, run_id: str) -> Run:
        return self._runs.get(run_id)

    def list_runs(self, tags: Mapping[str, str] = NO_TAGS) -> Sequence[Run]:
        return self._runs.list(tags)

    def cancel_run(self, run_id: str) -> None:
        self._runs.cancel(run_id)

    def resume_run(self, run_id: str) -> Run:
        return self._runs.resume(run_id)

    def continue_run(self, run_id: str, minutes: float, dataset: Dataset | None = None) -> Run:
        return self._runs.continue_from(run_id, minutes, dataset)

    def record_run(self, trained: TrainedModel) -> Run:
        return record_run(self._workspace, self._runs, trained)

    def list_children(self, run_id: str) -> Sequence[ChildRun]:
        return self._runs.children(run_id)

    def list_trials(self, run_id: str) -> Sequence[ChildRun]:
        return self._runs.trials(run_id)

    def list_artifacts(self, run_id: str) -> Sequence[str]:
        return self._runs.artifacts(run_id)

    def download_artifact(self, run_id: str, path: str, to: Path) -> Path:
        return self._runs.download(run_id, path, to)

    # Models

    def register_model(self, run_id: str, name: str) -> Model:
        model = self._models.register(run_id, name)
        self._audit.record_own("register", f"model {model.name} version {model.version}", f"run {run_id}")
        return model

    def get_model(self, name: str, version: str | None = None) -> Model:
        return self._models.get(name, version)

    def list_models(self) -> Sequence[Model]:
        return self._models.list()

    # Endpoints

    def deploy_model(self, model: Model, config: DeploymentConfig) -> Endpoint:
        endpoint = self._endpoints.deploy(model, config)
        self._audit.record_own("deploy", f"endpoint {endpoint.name}", _served(endpoint))
        return endpoint

    def get_endpoint(self, name: str) -> Endpoint:
        return self._endpoints.get(name)

    def list_endpoints(self) -> Sequence[Endpoint]:
        return self._endpoints.list()

    def set_app_insights(self, name: str, enabled: bool) -> Endpoint:
        return self._endpoints.set_app_insights(name, enabled)

    def set_data_collection(self, name: str, enabled: bool) -> Endpoint:
        return self._endpoints.set_data_collection(name, enabled)

    def update_endpoint(self, name: str, model: Model) -> Endpoint:
        endpoint = self._endpoints.update(name, model)
        self._audit.record_own("update", f"endpoint {name}", _served(endpoint))
        return endpoint

    def rollback_endpoint(self, name: str) -> Endpoint:
        endpoint = self._endpoints.rollback(name)
        self._audit.record_own("roll back", f"endpoint {name}", _served(endpoint))
        return endpoint

    def get_keys(self, name: str) -> EndpointKeys:
        return self._endpoints.keys(name)

    def regenerate_key(self, name: str, which: KeyName) -> EndpointKeys:
        keys = self._endpoints.regenerate_key(name, which)
        self._audit.record_own("regenerate key", f"endpoint {name}", str(which))
        return keys

    def get_logs(self, name: str) -> Sequence[str]:
        return self._endpoints.logs(name)

    def download_telemetry(self, name: str, to: Path) -> Sequence[Path]:
        return self._endpoints.download_telemetry(name, to)

    def record_outcomes(self, name: str, outcomes: Sequence[Outcome]) -> OutcomeReceipt:
        return self._feedback.record(name, outcomes)

    def list_outcomes(self, name: str, after: int = 0) -> Sequence[LabelledRow]:
        return self._feedback.labelled(name, after)

    def delete_endpoint(self, name: str) -> None:
        self._endpoints.delete(name)
        self._audit.record_own("delete", f"endpoint {name}")

    # Pipelines

    def submit_pipeline(self, pipeline: PipelineConfig | Pipeline, options: RunOptions = DEFAULT_OPTIONS) -> PipelineRun:
        return self._pipelines.submit(pipeline, options)

    def publish_pipeline(self, pipeline: PipelineConfig | Pipeline, version: str, description: str = "") -> PublishedPipeline:
        return self._pipelines.publish(pipeline, version, description)

    def get_published_pipeline(self, pipeline_id: str) -> PublishedPipeline:
        return self._pipelines.get_published(pipeline_id)

    def list_published_pipelines(self) -> Sequence[PublishedPipeline]:
        return self._pipelines.list_published()

    def disable_pipeline(self, pipeline_id: str) -> None:
        self._pipelines.disable(pipeline_id)

    def enable_pipeline(self, pipeline_id: str) -> None:
        self._pipelines.enable(pipeline_id)

    def create_pipeline_endpoint(self, name: str, pipeline_id: str, description: str = "") -> PipelineEndpoint:
        return self._pipeline_endpoints.create(name, pipeline_id, description)

    def get_pipeline_endpoint(self, endpoint_id: str) -> PipelineEndpoint:
        return self._pipeline_endpoints.get(endpoint_id)

    def list_pipeline_endpoints(self) -> Sequence[PipelineEndpoint]:
        return self._pipeline_endpoints.list()

    def set_default_pipeline(self, endpoint_id: str, pipeline_id: str) -> PipelineEndpoint:
        return self._pipeline_endpoints.set_default(endpoint_id, pipeline_id)

    def enable_pipeline_endpoint(self, endpoint_id: str) -> None:
        self._pipeline_endpoints.enable(endpoint_id)

    def disable_pipeline_endpoint(self, endpoint_id: str) -> None:
        self._pipeline_endpoints.disable(endpoint_id)

    def schedule_pipeline(self, config: ScheduleConfig) -> Schedule:
        return self._schedules.create(config)

    def get_schedule(self, schedule_id: str) -> Schedule:
        return self._schedules.get(schedule_id)

    def list_schedules(self) -> Sequence[Schedule]:
        return self._schedules.list()

    def pause_schedule(self, schedule_id: str) -> Schedule:
        return self._schedules.pause(schedule_id)

    def resume_schedule(self, schedule_id: str) -> Schedule:
        return self._schedules.resume(schedule_id)

    def delete_schedule(self, schedule_id: str) -> None:
        self._schedules.delete(schedule_id)

    def get_pipeline_run(self, run_id: str) -> PipelineRun:
        return self._pipelines.get_run(run_id)

    def list_pipeline_runs(self) -> Sequence[PipelineRun]:
        return self._pipelines.list_runs()

    def cancel_pipeline_run(self, run_id: str) -> None:
        self._pipelines.cancel_run(run_id)

    def resubmit_pipeline_run(self, run_id: str, from_step: str = "") -> PipelineRun:
        return self._pipelines.resubmit(run_id, from_step)

    def get_step_log(self, run_id: str, step: str) -> Sequence[str]:
        return self._pipelines.step_log(run_id, step)

    def download_step_output(self, run_id: str, step: str, output: str, to: Path) -> Path:
        return self._pipelines.download_step_output(run_id, step, output, to)

    # Costs

    def costly_resources(self) -> Sequence[CostlyResource]:
        return ()

    def release(self, resource: CostlyResource) -> None:
        """Nothing to release: whatever is named is not there."""


def _served(endpoint: Endpoint) -> str:
    return f"model {endpoint.model_name} version {endpoint.model_version}"
