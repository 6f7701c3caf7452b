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
from bankmlops.azure.pipeline_endpoints import PipelineEndpoints
from bankmlops.azure.pipeline_runs import PipelineRuns
from bankmlops.azure.pipelines import Pipelines, simple_form, with_options
from bankmlops.azure.schedules import Schedules
from bankmlops.azure.workspace import AzureWorkspace
from bankmlops.backend import Backend
from bankmlops.errors import InvalidRequestError
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
        self._pipeline_endpoints = PipelineEndpoints(self._workspace, self._pipelines)
        self._schedules = Schedules(self._workspace, self._pipelines, self._pipeline_endpoints)
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
    def list_runs(self, tags: Mapping[str, str] = NO_TAGS) -> Sequence[Run]:
        return self._runs.list(tags)

    @writing
    def cancel_run(self, run_id: str) -> None:
        self._runs.cancel(run_id)

    @reading
    def resume_run(self, run_id: str) -> Run:
        return self._runs.resume(run_id)

    @reading
    def continue_run(self, run_id: str, minutes: float, dataset: Dataset | None = None) -> Run:  # noqa: ARG002
        return self._runs.continue_from(run_id)

    @writing
    def record_run(self, trained: TrainedModel) -> Run:  # noqa: ARG002
        raise InvalidRequestError("Azure's AutoML registers what its own runs trained; register this model with --backend local")

    @reading
    def list_children(self, run_id: str) -> Sequence[ChildRun]:
        return self._runs.children(run_id)

    @reading
    def list_trials(self, run_id: str) -> Sequence[ChildRun]:
        return self._runs.trials(run_id)

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

    def set_data_collection(self, name: str, enabled: bool) -> Endpoint:
        return self._endpoints.set_data_collection(name, enabled)

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
    def record_outcomes(self, name: str, outcomes: Sequence[Outcome]) -> OutcomeReceipt:  # noqa: ARG002
        raise self._keeps_no_inputs(name)

    @reading
    def list_outcomes(self, name: str, after: int = 0) -> Sequence[LabelledRow]:  # noqa: ARG002
        raise self._keeps_no_inputs(name)

    def _keeps_no_inputs(self, name: str) -> InvalidRequestError:
        self._endpoints.get(name)
        return InvalidRequestError(
            f"Azure keeps no inputs of endpoint {name} that labels could be joined to; keep them where they are made, "
            "or serve the model with --backend local"
        )

    @writing
    def delete_endpoint(self, name: str) -> None:
        self._endpoints.delete(name)

    # Pipelines

    @writing
    def submit_pipeline(self, pipeline: PipelineConfig | Pipeline, options: RunOptions = DEFAULT_OPTIONS) -> PipelineRun:
        return self._pipeline_runs.get(self._pipelines.submit(with_options(simple_form(pipeline), options)))

    @writing
    def publish_pipeline(self, pipeline: PipelineConfig | Pipeline, version: str, description: str = "") -> PublishedPipeline:
        return self._pipelines.publish(simple_form(pipeline), version, description)

    @reading
    def get_published_pipeline(self, pipeline_id: str) -> PublishedPipeline:
        return self._pipelines.get(pipeline_id)

    @reading
    def list_published_pipelines(self) -> Sequence[PublishedPipeline]:
        return self._pipelines.list()

    @writing
    def disable_pipeline(self, pipeline_id: str) -> None:
        self._pipelines.disable(pipeline_id)

    @writing
    def enable_pipeline(self, pipeline_id: str) -> None:
        self._pipelines.enable(pipeline_id)

    @writing
    def create_pipeline_endpoint(self, name: str, pipeline_id: str, description: str = "") -> PipelineEndpoint:
        return self._pipeline_endpoints.create(name, pipeline_id, description)

    @reading
    def get_pipeline_endpoint(self, endpoint_id: str) -> PipelineEndpoint:
        return self._pipeline_endpoints.get(endpoint_id)

    @reading
    def list_pipeline_endpoints(self) -> Sequence[PipelineEndpoint]:
        return self._pipeline_endpoints.list()

    @writing
    def set_default_pipeline(self, endpoint_id: str, pipeline_id: str) -> PipelineEndpoint:
        return self._pipeline_endpoints.set_default(endpoint_id, pipeline_id)

    @writing
    def enable_pipeline_endpoint(self, endpoint_id: str) -> None:
        self._pipeline_endpoints.enable(endpoint_id)

    @writing
    def disable_pipeline_endpoint(self, endpoint_id: str) -> None:
        self._pipeline_endpoints.disable(endpoint_id)

    @writing
    def schedule_pipeline(self, config: ScheduleConfig) -> Schedule:
        return self._schedules.create(config)

    @reading
    def get_schedule(self, schedule_id: str) -> Schedule:
        return self._schedules.get(schedule_id)

    @reading
    def list_schedules(self) -> Sequence[Schedule]:
        return self._schedules.list()

    @writing
    def pause_schedule(self, schedule_id: str) -> Schedule:
        return self._schedules.pause(schedule_id)

    @writing
    def resume_schedule(self, schedule_id: str) -> Schedule:
        return self._schedules.resume(schedule_id)

    @writing
    def delete_schedule(self, schedule_id: str) -> None:
        self._schedules.delete(schedule_id)

    @reading
    def get_pipeline_run(self, run_id: str) -> PipelineRun:
        return self._pipeline_runs.get(run_id)

    @reading
    def list_pipeline_runs(self) -> Sequence[PipelineRun]:
        return self._pipeline_runs.list()

    @writing
    def cancel_pipeline_run(self, run_id: str) -> None:
        self._pipeline_runs.cancel(run_id)

    @writing
    def resubmit_pipeline_run(self, run_id: str, from_step: str = "") -> PipelineRun:
        """Azure's SDK can't: it takes over results of earlier steps by itself where a pipeline is submitted anew."""
        self._pipeline_runs.get(run_id)
        what = f"step {from_step!r} of run {run_id}" if from_step else f"run {run_id}"
        raise InvalidRequestError(f"{what} can't be resubmitted through Azure's SDK; trigger its pipeline again")

    @reading
    def get_step_log(self, run_id: str, step: str) -> Sequence[str]:
        """Of an AutoML step Azure keeps the log with the AutoML run, among its artifacts."""
        self._pipeline_runs.get(run_id)
        raise InvalidRequestError(f"the log of step {step!r} is among the artifacts of its AutoML run; look at them there")

    @reading
    def download_step_output(self, run_id: str, step: str, output: str, to: Path) -> Path:
        """The outputs of an AutoML step are the artifacts of its AutoML run."""
        self._pipeline_runs.get(run_id)
        raise InvalidRequestError(
            f"output {output!r} of step {step!r} can't be copied to {to}: it is among the artifacts of the step's AutoML run"
        )

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
