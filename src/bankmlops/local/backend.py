"""The Backend on this machine: each operation goes to the object of this room that keeps it. Nothing here costs money."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bankmlops.backend import Backend
from bankmlops.local.automl_runs import AutoMLRuns
from bankmlops.local.datasets import Datasets
from bankmlops.local.endpoints import Endpoints
from bankmlops.local.models import Models
from bankmlops.local.pipelines import Pipelines
from bankmlops.local.workspace import LocalWorkspace
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
    Model,
    PipelineConfig,
    PipelineRun,
    PublishedPipeline,
    Run,
    Workspace,
)


class LocalBackend(Backend):
    """A workspace folder and the processes on this machine that work for it."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = LocalWorkspace(workspace)
        self._datasets = Datasets(self._workspace)
        self._runs = AutoMLRuns(self._workspace, self._datasets)
        self._models = Models(self._workspace, self._runs)
        self._endpoints = Endpoints(self._workspace, self._models)
        self._pipelines = Pipelines(self._workspace)

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

    def list_runs(self) -> Sequence[Run]:
        return self._runs.list()

    def cancel_run(self, run_id: str) -> None:
        self._runs.cancel(run_id)

    def resume_run(self, run_id: str) -> Run:
        return self._runs.resume(run_id)

    def list_children(self, run_id: str) -> Sequence[ChildRun]:
        return self._runs.children(run_id)

    def list_artifacts(self, run_id: str) -> Sequence[str]:
        return self._runs.artifacts(run_id)

    def download_artifact(self, run_id: str, path: str, to: Path) -> Path:
        return self._runs.download(run_id, path, to)

    # Models

    def register_model(self, run_id: str, name: str) -> Model:
        return self._models.register(run_id, name)

    def get_model(self, name: str, version: str | None = None) -> Model:
        return self._models.get(name, version)

    def list_models(self) -> Sequence[Model]:
        return self._models.list()

    # Endpoints

    def deploy_model(self, model: Model, config: DeploymentConfig) -> Endpoint:
        return self._endpoints.deploy(model, config)

    def get_endpoint(self, name: str) -> Endpoint:
        return self._endpoints.get(name)

    def list_endpoints(self) -> Sequence[Endpoint]:
        return self._endpoints.list()

    def set_app_insights(self, name: str, enabled: bool) -> Endpoint:
        return self._endpoints.set_app_insights(name, enabled)

    def update_endpoint(self, name: str, model: Model) -> Endpoint:
        return self._endpoints.update(name, model)

    def rollback_endpoint(self, name: str) -> Endpoint:
        return self._endpoints.rollback(name)

    def get_keys(self, name: str) -> EndpointKeys:
        return self._endpoints.keys(name)

    def regenerate_key(self, name: str, which: KeyName) -> EndpointKeys:
        return self._endpoints.regenerate_key(name, which)

    def get_logs(self, name: str) -> Sequence[str]:
        return self._endpoints.logs(name)

    def download_telemetry(self, name: str, to: Path) -> Sequence[Path]:
        return self._endpoints.download_telemetry(name, to)

    def delete_endpoint(self, name: str) -> None:
        self._endpoints.delete(name)

    # Pipelines

    def submit_pipeline(self, config: PipelineConfig) -> PipelineRun:
        return self._pipelines.submit(config)

    def publish_pipeline(self, config: PipelineConfig, version: str, description: str = "") -> PublishedPipeline:
        return self._pipelines.publish(config, version, description)

    def get_published_pipeline(self, pipeline_id: str) -> PublishedPipeline:
        return self._pipelines.get_published(pipeline_id)

    def list_published_pipelines(self) -> Sequence[PublishedPipeline]:
        return self._pipelines.list_published()

    def disable_pipeline(self, pipeline_id: str) -> None:
        self._pipelines.disable(pipeline_id)

    def get_pipeline_run(self, run_id: str) -> PipelineRun:
        return self._pipelines.get_run(run_id)

    def list_pipeline_runs(self) -> Sequence[PipelineRun]:
        return self._pipelines.list_runs()

    def cancel_pipeline_run(self, run_id: str) -> None:
        self._pipelines.cancel_run(run_id)

    # Costs

    def costly_resources(self) -> Sequence[CostlyResource]:
        return ()

    def release(self, resource: CostlyResource) -> None:
        """Nothing to release: whatever is named is not there."""
