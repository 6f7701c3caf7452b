"""The abstract Backend: every operation of the flow, whatever carries it out.

Each method is abstract and answers with a value of `types`. `submit_*` returns at once; `runs` holds the helper that waits, and
the one that ends a run with whoever started it.
Swagger, scoring, load tests and the REST trigger are plain HTTP on a URL, the same for every backend: they live in `client`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

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


class Backend(ABC):
    """A place where data becomes a served, watched model.

    Every method may raise `AuthenticationError` and `BackendUnavailableError`; what else it raises is said at the method.
    """

    # Identity

    @abstractmethod
    def authenticate(self) -> Workspace:
        """Open the workspace; raises `AuthenticationError` with what to set where credentials are missing."""

    @abstractmethod
    def authorization_header(self) -> Mapping[str, str]:
        """The `Authorization: Bearer` header that a published pipeline's REST endpoint wants."""

    @abstractmethod
    def up(self) -> str:
        """Start what published pipelines need (idempotent), and answer the base URL that serves them."""

    @abstractmethod
    def down(self) -> None:
        """Stop what `up` started (idempotent). Endpoints stay as they are."""

    # Data

    @abstractmethod
    def register_dataset(self, name: str, source: DataSource, label_column: str) -> Dataset:
        """Make an immutable version; the same content under the same name is the same version. Raises `InvalidRequestError`."""

    @abstractmethod
    def get_dataset(self, name: str, version: str | None = None) -> Dataset:
        """One version, the newest where none is given. Raises `NotFoundError`."""

    @abstractmethod
    def list_datasets(self) -> Sequence[Dataset]:
        """The newest version of each dataset, by name."""

    # Training

    @abstractmethod
    def submit_automl(self, config: AutoMLConfig) -> Run:
        """Start an AutoML run that outlives this process. Raises `InvalidRequestError` for a field that can't serve."""

    @abstractmethod
    def get_run(self, run_id: str) -> Run:
        """How the run stands. Raises `NotFoundError`."""

    @abstractmethod
    def list_runs(self, tags: Mapping[str, str] = NO_TAGS) -> Sequence[Run]:
        """The AutoML runs that bear these tags, newest first; at most 100."""

    @abstractmethod
    def cancel_run(self, run_id: str) -> None:
        """End it and its trials; a finished run stays as it is. Raises `NotFoundError`."""

    @abstractmethod
    def resume_run(self, run_id: str) -> Run:
        """Go on with a run that was canceled or has failed, from its finished trials, in what is left of its budget.

        Raises `NotFoundError`, `ConflictError` for any other run, and `InvalidRequestError` where the backend can't resume.
        """

    @abstractmethod
    def continue_run(self, run_id: str, minutes: float, dataset: Dataset | None = None) -> Run:
        """Start a run that goes on from the trials of one that has ended, however it did, for so many minutes more.

        On another `dataset` its best configurations are tried first. The tags say what the time bought. Raises `NotFoundError`,
        `ConflictError` while the run has not ended, and `InvalidRequestError` where the backend can't go on.
        """

    @abstractmethod
    def record_run(self, trained: TrainedModel) -> Run:
        """Keep a model that was trained elsewhere as a completed run, with its files, so that `register_model` serves it as any.

        Raises `InvalidRequestError` where a file is missing, or where the backend takes no such runs.
        """

    @abstractmethod
    def list_children(self, run_id: str) -> Sequence[ChildRun]:
        """The leaderboard: finished trials and ensembles, best first by the primary metric. Raises `NotFoundError`."""

    @abstractmethod
    def list_trials(self, run_id: str) -> Sequence[ChildRun]:
        """Every trial that has ended, by number: those that were given up, killed or failed too. Raises `NotFoundError`."""

    @abstractmethod
    def list_artifacts(self, run_id: str) -> Sequence[str]:
        """The paths of the run's files, sorted. Raises `NotFoundError`."""

    @abstractmethod
    def download_artifact(self, run_id: str, path: str, to: Path) -> Path:
        """Copy one file of the run into the folder `to`. Raises `NotFoundError`."""

    # Models

    @abstractmethod
    def register_model(self, run_id: str, name: str) -> Model:
        """Make the run's best model a new version and the champion. Raises `ConflictError` while the run is not completed."""

    @abstractmethod
    def get_model(self, name: str, version: str | None = None) -> Model:
        """One version, the newest where none is given. Raises `NotFoundError`."""

    @abstractmethod
    def list_models(self) -> Sequence[Model]:
        """The newest version of each model, by name."""

    # Endpoints

    @abstractmethod
    def deploy_model(self, model: Model, config: DeploymentConfig) -> Endpoint:
        """Serve the model and wait until it is healthy.

        Raises `ConflictError` where the name is taken or the port busy, `DeploymentFailedError` with the log's last lines
        where it did not become healthy; then nothing of it is left.
        """

    @abstractmethod
    def get_endpoint(self, name: str) -> Endpoint:
        """How the endpoint stands. Raises `NotFoundError`."""

    @abstractmethod
    def list_endpoints(self) -> Sequence[Endpoint]:
        """Every endpoint, by name."""

    @abstractmethod
    def set_app_insights(self, name: str, enabled: bool) -> Endpoint:
        """Turn telemetry on or off. Raises `NotFoundError`."""

    @abstractmethod
    def set_data_collection(self, name: str, enabled: bool) -> Endpoint:
        """Keep the inputs and answers of requests, or no longer: it counts from the next one on.

        Raises `NotFoundError`, and `InvalidRequestError` where the backend can't switch it.
        """

    @abstractmethod
    def update_endpoint(self, name: str, model: Model) -> Endpoint:
        """Serve another model under the same address and keys; `rollback_endpoint` goes back to the one before.

        Raises `NotFoundError` where endpoint or model is not there, `ConflictError` where that model is served already or the
        endpoint does not serve, and `DeploymentFailedError` where the model can't be served: then the one before still is.
        """

    @abstractmethod
    def rollback_endpoint(self, name: str) -> Endpoint:
        """Serve the model that was served before the last `update_endpoint` or `rollback_endpoint`.

        Raises as `update_endpoint` does, and `ConflictError` where there was none before.
        """

    @abstractmethod
    def get_keys(self, name: str) -> EndpointKeys:
        """Both keys. Raises `NotFoundError`, and `ConflictError` where the endpoint has no key authentication."""

    @abstractmethod
    def regenerate_key(self, name: str, which: KeyName) -> EndpointKeys:
        """Replace one key at once; the other goes on working. Raises as `get_keys` does."""

    @abstractmethod
    def get_logs(self, name: str) -> Sequence[str]:
        """The endpoint's newest log lines, oldest first; at most 5,000. Raises `NotFoundError`."""

    @abstractmethod
    def download_telemetry(self, name: str, to: Path) -> Sequence[Path]:
        """Copy what the endpoint recorded into the folder `to`, oldest first: requests, while app insights was on, and inputs.

        Each file is JSON, an object a line, as `scoring` writes it. Raises `NotFoundError`, and `InvalidRequestError` where the
        backend keeps it in no such files.
        """

    @abstractmethod
    def record_outcomes(self, name: str, outcomes: Sequence[Outcome]) -> OutcomeReceipt:
        """Join true labels to the requests that the endpoint collected, by their ids; what is stored is on the disk.

        One that came before counts once. One of an unknown request, with a label that is no class of the model, or against the
        label that the row has, is refused in the receipt. At most 10,000 at once. Raises `NotFoundError` for an unknown endpoint,
        and `InvalidRequestError` where the backend keeps no inputs to join them to.
        """

    @abstractmethod
    def list_outcomes(self, name: str, after: int = 0) -> Sequence[LabelledRow]:
        """Rows with their true labels in the order of arrival, from the one after the number `after` on; at most 10,000.

        Raises as `record_outcomes` does.
        """

    @abstractmethod
    def delete_endpoint(self, name: str) -> None:
        """Take it down; one that is not there is no error."""

    # Pipelines

    @abstractmethod
    def submit_pipeline(self, pipeline: PipelineConfig | Pipeline, options: RunOptions = DEFAULT_OPTIONS) -> PipelineRun:
        """Start a pipeline run that outlives this process (`up` must have been called).

        Raises `InvalidRequestError` for a pipeline that does not fit together or that the backend can't run.
        """

    @abstractmethod
    def publish_pipeline(self, pipeline: PipelineConfig | Pipeline, version: str, description: str = "") -> PublishedPipeline:
        """Make it an immutable REST endpoint. Raises `ConflictError` where this name and version exist with other content.

        Raises `InvalidRequestError` as `submit_pipeline` does.
        """

    @abstractmethod
    def get_published_pipeline(self, pipeline_id: str) -> PublishedPipeline:
        """One published pipeline. Raises `NotFoundError`."""

    @abstractmethod
    def list_published_pipelines(self) -> Sequence[PublishedPipeline]:
        """Every published pipeline, newest first."""

    @abstractmethod
    def disable_pipeline(self, pipeline_id: str) -> None:
        """Refuse further triggers (idempotent). Raises `NotFoundError`."""

    @abstractmethod
    def enable_pipeline(self, pipeline_id: str) -> None:
        """Take triggers again (idempotent). Raises `NotFoundError`."""

    @abstractmethod
    def create_pipeline_endpoint(self, name: str, pipeline_id: str, description: str = "") -> PipelineEndpoint:
        """A stable address whose default version is this published pipeline.

        Raises `NotFoundError`, and `ConflictError` where the name is taken.
        """

    @abstractmethod
    def get_pipeline_endpoint(self, endpoint_id: str) -> PipelineEndpoint:
        """One pipeline endpoint. Raises `NotFoundError`."""

    @abstractmethod
    def list_pipeline_endpoints(self) -> Sequence[PipelineEndpoint]:
        """Every pipeline endpoint, by name."""

    @abstractmethod
    def set_default_pipeline(self, endpoint_id: str, pipeline_id: str) -> PipelineEndpoint:
        """Have the endpoint run this published pipeline from now on, which becomes a version of it. Raises `NotFoundError`."""

    @abstractmethod
    def enable_pipeline_endpoint(self, endpoint_id: str) -> None:
        """Take triggers again (idempotent). Raises `NotFoundError`."""

    @abstractmethod
    def disable_pipeline_endpoint(self, endpoint_id: str) -> None:
        """Refuse further triggers (idempotent). Raises `NotFoundError`."""

    @abstractmethod
    def schedule_pipeline(self, config: ScheduleConfig) -> Schedule:
        """Run a published pipeline, or what stands behind a pipeline endpoint, by the clock or on new data.

        Raises `NotFoundError` for an unknown pipeline, `ConflictError` where the name is taken, and `InvalidRequestError` for
        what can't serve or what the backend does not have.
        """

    @abstractmethod
    def get_schedule(self, schedule_id: str) -> Schedule:
        """How the schedule stands. Raises `NotFoundError`."""

    @abstractmethod
    def list_schedules(self) -> Sequence[Schedule]:
        """Every schedule, by name."""

    @abstractmethod
    def pause_schedule(self, schedule_id: str) -> Schedule:
        """Fire no more (idempotent). Raises `NotFoundError`, and `ConflictError` where it is past its end."""

    @abstractmethod
    def resume_schedule(self, schedule_id: str) -> Schedule:
        """Fire again, from now on (idempotent): what fell into the pause is not made up for. Raises as `pause_schedule` does."""

    @abstractmethod
    def delete_schedule(self, schedule_id: str) -> None:
        """Forget it; its runs stay. Raises `NotFoundError`, and `InvalidRequestError` where the backend can only pause it."""

    @abstractmethod
    def get_pipeline_run(self, run_id: str) -> PipelineRun:
        """How a pipeline run stands, however it was started. Raises `NotFoundError`."""

    @abstractmethod
    def list_pipeline_runs(self) -> Sequence[PipelineRun]:
        """The pipeline runs, newest first; at most 100."""

    @abstractmethod
    def cancel_pipeline_run(self, run_id: str) -> None:
        """End it and what it trains; a finished run stays as it is. Raises `NotFoundError`."""

    @abstractmethod
    def resubmit_pipeline_run(self, run_id: str, from_step: str = "") -> PipelineRun:
        """Run it again as a run of its own that takes over the results of its finished steps, but not from `from_step` on.

        Raises `NotFoundError`, `ConflictError` while it goes on, and `InvalidRequestError` for an unknown step, where a completed
        run is asked for without one, and where the backend can't.
        """

    @abstractmethod
    def get_step_log(self, run_id: str, step: str) -> Sequence[str]:
        """The newest lines of a step's log, oldest first; at most 5,000. Raises `NotFoundError`."""

    @abstractmethod
    def download_step_output(self, run_id: str, step: str, output: str, to: Path) -> Path:
        """Copy a file that a step gave into the folder `to`. Raises `NotFoundError`, `InvalidRequestError` where it is text."""

    # Costs

    @abstractmethod
    def costly_resources(self) -> Sequence[CostlyResource]:
        """What this workspace runs that costs money (computes, endpoints); empty on this machine."""

    @abstractmethod
    def release(self, resource: CostlyResource) -> None:
        """Delete one of them (idempotent)."""
