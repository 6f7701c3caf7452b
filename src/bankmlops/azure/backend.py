"""`Backend` on Azure ML: each operation is handed to the room that knows it, and every call goes out by the same door.

`reading` and `writing` keep the SDK off stdout and put its errors into our words; what only reads is tried again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bankmlops.azure import computes, endpoints
from bankmlops.azure.automl_runs import AutoMLRuns
from bankmlops.azure.calls import reading, writing
from bankmlops.azure.computes import Computes
from bankmlops.azure.configuration import AzureConfig
from bankmlops.azure.datasets import Datasets
from bankmlops.azure.endpoints import Endpoints
from bankmlops.azure.models import Models
from bankmlops.azure.pipeline_runs import PipelineRuns
from bankmlops.azure.pipelines import Pipelines
from bankmlops.azure.workspace import AzureWorkspace
from bankmlops.backend import Backend
from bankmlops.errors import InvalidRequestError
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


class AzureBackend(Backend):
    """An Azure ML workspace, through Microsoft's SDK. Nothing is imported or asked until the first operation."""

    def __init__(self, config: AzureConfig) -> None:
        self._workspace = AzureWorkspace(config)
        self._datasets = Datasets(self._workspace)
        self._computes = Computes(self._workspace)
        self._runs = AutoMLRuns(self._workspace, self._datasets, self._computes)
        self._models = Models(self._workspace, self._runs)
        self._endpoints = Endpoints(self._workspace, self._models)
        self._pipelines = Pipelines(self._workspace, self._runs)
        self._pipeline_runs = PipelineRuns(self._workspace, self._runs)

    # Identity

    @reading
    def authenticate(self) -> Workspace:
        return self._workspace.describe()

    @reading
    def authorization_header(self) -> Mapping[str, str]:
        return self._workspace.authorization_header()

    @reading
    def up(self) -> str:
        return self._pipelines.base_url()

    def down(self) -> None:
        """Azure's own services go on; there is nothing of ours to stop."""

    # Data

    @writing
    def register_dataset(self, name: str, source: DataSource, label_column: str) -> Dataset:
        return self._datasets.register(name, source, label_column)

    @reading
    def get_dataset(self, name: str, version: str | None = None) -> Dataset:
        return self._datasets.get(name, version)

    @reading
    def list_datasets(self) -> Sequence[Dataset]:
        return self._datasets.list()

    # Training

    @writing
    def submit_automl(self, config: AutoMLConfig) -> Run:
        return self._runs.submit(config)

    @reading
    def get_run(self, run_id: str) -> Run:
        return self._runs.get(run_id)

    @reading
    def list_runs(self) -> Sequence[Run]:
        return self._runs.list()

    @writing
    def cancel_run(self, run_id: str) -> None:
        self._runs.cancel(run_id)

    @reading
    def resume_run(self, run_id: str) -> Run:
        return self._runs.resume(run_id)

    @reading
    def list_children(self, run_id: str) -> Sequence[ChildRun]:
        return self._runs.children(run_id)

    @reading
    def list_artifacts(self, run_id: str) -> Sequence[str]:
        return self._runs.artifacts(run_id)

    @reading
    def download_artifact(self, run_id: str, path: str, to: Path) -> Path:
        return self._runs.download(run_id, path, to)

    # Models

    @writing
    def register_model(self, run_id: str, name: str) -> Model:
        return self._models.register(run_id, name)

    @reading
    def get_model(self, name: str, version: str | None = None) -> Model:
        return self._models.get(name, version)

    @reading
    def list_models(self) -> Sequence[Model]:
        return self._models.list()

    # Endpoints

    @writing
    def deploy_model(self, model: Model, config: DeploymentConfig) -> Endpoint:
        return self._endpoints.deploy(model, config)

    @reading
    def get_endpoint(self, name: str) -> Endpoint:
        return self._endpoints.get(name)

    @reading
    def list_endpoints(self) -> Sequence[Endpoint]:
        return self._endpoints.list()

    @writing
    def set_app_insights(self, name: str, enabled: bool) -> Endpoint:
        return self._endpoints.set_app_insights(name, enabled)

    @writing
    def update_endpoint(self, name: str, model: Model) -> Endpoint:
        return self._endpoints.update(name, model)

    @writing
    def rollback_endpoint(self, name: str) -> Endpoint:
        return self._endpoints.rollback(name)

    @reading
    def get_keys(self, name: str) -> EndpointKeys:
        return self._endpoints.keys(name)

    @writing
    def regenerate_key(self, name: str, which: KeyName) -> EndpointKeys:
        return self._endpoints.regenerate_key(name, which)

    @reading
    def get_logs(self, name: str) -> Sequence[str]:
        return self._endpoints.logs(name)

    @reading
    def download_telemetry(self, name: str, to: Path) -> Sequence[Path]:  # noqa: ARG002
        self._endpoints.get(name)
        raise InvalidRequestError(
            f"Azure keeps the telemetry of endpoint {name} in Application Insights and in no file; ask for it there, in the "
            "workspace's resource group, or read `bankmlops endpoints logs`"
        )

    @writing
    def delete_endpoint(self, name: str) -> None:
        self._endpoints.delete(name)

    # Pipelines

    @writing
    def submit_pipeline(self, config: PipelineConfig) -> PipelineRun:
        return self._pipeline_runs.get(self._pipelines.submit(config))

    @writing
    def publish_pipeline(self, config: PipelineConfig, version: str, description: str = "") -> PublishedPipeline:
        return self._pipelines.publish(config, version, description)

    @reading
    def get_published_pipeline(self, pipeline_id: str) -> PublishedPipeline:
        return self._pipelines.get(pipeline_id)

    @reading
    def list_published_pipelines(self) -> Sequence[PublishedPipeline]:
        return self._pipelines.list()

    @writing
    def disable_pipeline(self, pipeline_id: str) -> None:
        self._pipelines.disable(pipeline_id)

    @reading
    def get_pipeline_run(self, run_id: str) -> PipelineRun:
        return self._pipeline_runs.get(run_id)

    @reading
    def list_pipeline_runs(self) -> Sequence[PipelineRun]:
        return self._pipeline_runs.list()

    @writing
    def cancel_pipeline_run(self, run_id: str) -> None:
        self._pipeline_runs.cancel(run_id)

    # Costs

    @reading
    def costly_resources(self) -> Sequence[CostlyResource]:
        return [*self._endpoints.costly(), *self._computes.costly()]

    @writing
    def release(self, resource: CostlyResource) -> None:
        owners = {endpoints.KIND: self._endpoints.delete, computes.KIND: self._computes.release}
        if resource.kind not in owners:
            raise InvalidRequestError(f"{resource.kind!r} is nothing that can be released; it is one of: {', '.join(owners)}")
        owners[resource.kind](resource.name)
