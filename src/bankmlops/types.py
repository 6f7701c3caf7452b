"""The values that cross the doors between rooms: frozen, typed, made of the standard library alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any


def _empty() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Workspace:
    """The place that holds everything; `location` is a folder (local) or an Azure region."""

    name: str
    location: str
    subscription_id: str = ""
    resource_group: str = ""


@dataclass(frozen=True, slots=True)
class DataSource:
    """A table to register: a file, and whether the built-in generator made it."""

    path: Path
    synthetic: bool = False
    description: str = ""


class StreamDrift(StrEnum):
    """How the world of a generated stream changes over its length."""

    NONE = "none"
    SUDDEN = "sudden"
    GRADUAL = "gradual"
    RECURRING = "recurring"


@dataclass(frozen=True, slots=True)
class Dataset:
    """An immutable version of a table. `sha256` is of the content as registered; `label_column` is the column to predict."""

    name: str
    version: str
    rows: int
    columns: tuple[str, ...]
    label_column: str
    sha256: str
    synthetic: bool = False
    created: datetime | None = None


class RunStatus(StrEnum):
    """Azure ML's own words for the state of a run."""

    NOT_STARTED = "NotStarted"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELED = "Canceled"

    @property
    def is_final(self) -> bool:
        return self in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELED)


class FeaturizationMode(StrEnum):
    """Azure's two words for how columns become features."""

    AUTO = "auto"
    OFF = "off"


class ColumnPurpose(StrEnum):
    """What a column is taken for; the words are those of Azure's `FeatureType`."""

    NUMERIC = "Numeric"
    CATEGORICAL = "Categorical"
    IGNORE = "Ignore"


@dataclass(frozen=True, slots=True)
class Featurization:
    """How columns become features: Azure's "auto" and "off", and what its `FeaturizationConfig` sets for single columns.

    "off" takes a table of numbers and true or false without gaps, as they are, and no settings for columns.
    """

    mode: FeaturizationMode = FeaturizationMode.AUTO
    drop_columns: tuple[str, ...] = ()
    column_purposes: Mapping[str, ColumnPurpose] = field(default_factory=_empty)

    def __str__(self) -> str:
        """As a person writes it: "auto", or "auto, job: Ignore"."""
        purposes = {**dict.fromkeys(self.drop_columns, ColumnPurpose.IGNORE), **self.column_purposes}
        return ", ".join([str(self.mode), *(f"{name}: {purpose}" for name, purpose in purposes.items())])


class Device(StrEnum):
    """What learners fit on. `AUTO` is what they can use."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, slots=True)
class AutoMLConfig:
    """What an AutoML classification run is asked for; the names are those of Azure ML's `AutoMLConfig`.

    `experiment_timeout_minutes` bounds the wall clock: set-up, search, ensembling, refit and export included; `iterations` how
    many configurations are tried, `iteration_timeout_minutes` the wall clock of each. `n_cross_validations`, `validation_size` (a
    share of the rows) and `validation_dataset` exclude each other; without any of them docs/automl.md has the rule.
    `positive_label` is which of two classes the `_binary` metrics and the curves are of (None: the last in alphabetical order).
    """

    dataset: Dataset
    experiment_name: str = "bankmarketing-automl"
    primary_metric: str = "accuracy"
    experiment_timeout_minutes: float = 1.0
    experiment_exit_score: float | None = None
    iterations: int | None = None
    iteration_timeout_minutes: float | None = None
    enable_early_stopping: bool = True
    n_cross_validations: int | None = None
    validation_size: float | None = None
    validation_dataset: Dataset | None = None
    max_concurrent_iterations: int | None = None
    allowed_models: tuple[str, ...] = ()
    blocked_models: tuple[str, ...] = ()
    featurization: Featurization = field(default_factory=Featurization)
    positive_label: str | None = None
    enable_voting_ensemble: bool = True
    enable_stack_ensemble: bool = False
    model_explainability: bool = True
    random_seed: int = 42
    device: Device = Device.AUTO
    compute_target: str = "automl-cluster"
    tags: Mapping[str, str] = field(default_factory=_empty)


@dataclass(frozen=True, slots=True)
class Run:
    """A training run. `metrics` bear Azure's names (`accuracy`, `AUC_weighted`, ...) and belong to its best model.

    `progress` is a line such as "trial 7, best accuracy 0.9161"; `error` is one line where `status` is Failed.
    """

    id: str
    experiment_name: str
    status: RunStatus
    primary_metric: str = ""
    best_algorithm: str = ""
    best_child_id: str = ""
    metrics: Mapping[str, float] = field(default_factory=_empty)
    tags: Mapping[str, str] = field(default_factory=_empty)
    trials: int = 0
    started: datetime | None = None
    ended: datetime | None = None
    progress: str = ""
    fraction: float = 0.0
    error: str = ""
    portal_url: str = ""

    @property
    def seconds(self) -> float:
        """The wall clock between start and end, in seconds; 0 until the run has ended."""
        return (self.ended - self.started).total_seconds() if self.started and self.ended else 0.0


@dataclass(frozen=True, slots=True)
class ChildRun:
    """One row of the leaderboard: a trial, or an ensemble of trials. `error` says why a trial has no score, where it has none."""

    id: str
    iteration: int
    algorithm: str
    status: RunStatus
    score: float
    metrics: Mapping[str, float] = field(default_factory=_empty)
    parameters: Mapping[str, str] = field(default_factory=_empty)
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Parity:
    """What the export's gate measured: the exported model against the trained one, on `rows` validation rows."""

    max_probability_difference: float
    label_flips: int
    rows: int


@dataclass(frozen=True, slots=True)
class Model:
    """A registered model version; `parity` is None where the backend exports nothing (Azure serves the pickle)."""

    name: str
    version: str
    run_id: str
    algorithm: str = ""
    aliases: tuple[str, ...] = ()
    parity: Parity | None = None
    tags: Mapping[str, str] = field(default_factory=_empty)


class EndpointState(StrEnum):
    """Azure ML's own words for the state of a web service."""

    TRANSITIONING = "Transitioning"
    HEALTHY = "Healthy"
    UNHEALTHY = "Unhealthy"
    FAILED = "Failed"


class UnknownCategories(StrEnum):
    """What becomes of a row with a category that training did not see."""

    SCORE = "score"
    REFUSE = "refuse"


class Runtime(StrEnum):
    """What serves a model on this machine; `AUTO` is a container where an engine is at hand, else a process."""

    AUTO = "auto"
    CONTAINER = "container"
    PROCESS = "process"


@dataclass(frozen=True, slots=True)
class DeploymentConfig:
    """How a model is served. `port` 0 takes a free one; `cpu_cores` and `memory_gb` bind where the runtime can bound them.

    `cors_origins` are the web origins whose pages may call it ("*" is any); `plain_json` has it answer JSON where those of Azure
    answer a JSON string that holds it. `workers` processes answer side by side. `collect_model_data` keeps inputs and answers
    for `bankmlops monitor`.
    """

    name: str
    auth_enabled: bool = True
    app_insights: bool = False
    cpu_cores: float = 1.0
    memory_gb: float = 1.0
    port: int = 0
    timeout_seconds: float = 120.0
    tags: Mapping[str, str] = field(default_factory=_empty)
    workers: int = 1
    cors_origins: tuple[str, ...] = ()
    plain_json: bool = False
    unknown_categories: UnknownCategories = UnknownCategories.SCORE
    runtime: Runtime = Runtime.AUTO
    collect_model_data: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A deployed model. `runtime` is "container", "process" or "ACI"; URLs are empty while it is not there.

    `runtime_reason` says why that runtime was taken where nobody asked for it. What is below it is as the deployment set it.
    """

    name: str
    state: EndpointState
    scoring_uri: str
    swagger_uri: str
    runtime: str
    model_name: str
    model_version: str
    auth_enabled: bool = True
    app_insights: bool = False
    created: datetime | None = None
    cold_start_seconds: float = 0.0
    tags: Mapping[str, str] = field(default_factory=_empty)
    runtime_reason: str = ""
    workers: int = 1
    cors_origins: tuple[str, ...] = ()
    plain_json: bool = False
    unknown_categories: UnknownCategories = UnknownCategories.SCORE
    collect_model_data: bool = False


@dataclass(frozen=True, slots=True)
class EndpointKeys:
    """Both keys open the endpoint; neither shows in a repr."""

    primary: str = field(repr=False)
    secondary: str = field(repr=False)


class KeyName(StrEnum):
    """Which of the two keys."""

    PRIMARY = "Primary"
    SECONDARY = "Secondary"


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A model that was trained outside an AutoML run, with all that such a run leaves of its winner.

    `outputs` holds the files of docs/automl.md: `model.pkl`, `bundle/` and whatever describes it. `config` says what it was
    trained on and under which experiment, `parity` how well its export repeats it; `curves` are metrics over rows: (row, value).
    """

    config: AutoMLConfig
    outputs: Path
    algorithm: str
    metrics: Mapping[str, float]
    parameters: Mapping[str, str]
    parity: Parity
    input_example: Mapping[str, Any]
    seconds: float = 0.0
    curves: Mapping[str, tuple[tuple[int, float], ...]] = field(default_factory=_empty)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What really happened after a request: the true label of its row number `row`, by the id in its `x-request-id` header."""

    request_id: str
    label: str
    row: int = 0


@dataclass(frozen=True, slots=True)
class RefusedOutcome:
    """An outcome that was not stored: its place among those that were sent, from 0, and why, in one line.

    `kind` is the word of the error that it is: "NotFound", "BadRequest" or "Conflict".
    """

    index: int
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class OutcomeReceipt:
    """What became of outcomes: those `stored` now, those `repeated` from before, and of the `refused` the first few."""

    stored: int
    repeated: int
    refused: int
    refusals: tuple[RefusedOutcome, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """A row that an endpoint was asked for, what it answered, and what really happened; `number` is its place among them.

    Times are ISO 8601 in UTC: `time` of the request, `arrived` of the label.
    """

    number: int
    request_id: str
    row: int
    time: str
    arrived: str
    model: str
    inputs: Mapping[str, Any]
    answer: str
    label: str


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """A pipeline with an AutoML step: prepare, automl, evaluate, register.

    `minimum_score` is the gate of the evaluate step on the primary metric (None: no gate); `model_name` is what register makes a
    new version of.
    """

    name: str
    automl: AutoMLConfig
    model_name: str
    minimum_score: float | None = None


@dataclass(frozen=True, slots=True)
class PublishedPipeline:
    """An immutable, named, versioned pipeline with a REST endpoint that a POST with a bearer token triggers."""

    id: str
    name: str
    version: str
    endpoint: str
    status: str = "Active"
    description: str = ""


@dataclass(frozen=True, slots=True)
class PipelineEndpoint:
    """A stable name and REST endpoint over published pipelines: `versions` are their ids by version, one of them the default."""

    id: str
    name: str
    endpoint: str
    default_version: str
    versions: Mapping[str, str] = field(default_factory=_empty)
    status: str = "Active"
    description: str = ""


@dataclass(frozen=True, slots=True)
class StepRun:
    """One step of a pipeline run.

    `kind` is what it does ("automl"); `depends_on` names the steps it waits for; `run_id` is the AutoML run it started.
    `reason` says why its result was reused, or why not; `progress` is its newest line while it runs.
    """

    name: str
    status: RunStatus
    seconds: float = 0.0
    run_id: str = ""
    kind: str = ""
    depends_on: tuple[str, ...] = ()
    attempts: int = 0
    reused_from: str = ""
    reason: str = ""
    progress: str = ""
    error: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    outputs: Mapping[str, str] = field(default_factory=_empty)


@dataclass(frozen=True, slots=True)
class PipelineRun:
    """A run of a pipeline, and how far its steps are.

    `run_source` says what started it ("SDK", "schedule NAME"); `resubmitted_from` is the run whose finished steps it took over.
    """

    id: str
    experiment_name: str
    status: RunStatus
    steps: tuple[StepRun, ...] = ()
    pipeline_id: str = ""
    outputs: Mapping[str, str] = field(default_factory=_empty)
    started: datetime | None = None
    ended: datetime | None = None
    error: str = ""
    name: str = ""
    parameters: Mapping[str, str] = field(default_factory=_empty)
    tags: Mapping[str, str] = field(default_factory=_empty)
    run_source: str = ""
    resubmitted_from: str = ""


class Frequency(StrEnum):
    """Azure ML's own words for the unit of a recurrence."""

    MINUTE = "Minute"
    HOUR = "Hour"
    DAY = "Day"
    WEEK = "Week"
    MONTH = "Month"


class WeekDay(StrEnum):
    """The days of the week, Monday first."""

    MONDAY = "Monday"
    TUESDAY = "Tuesday"
    WEDNESDAY = "Wednesday"
    THURSDAY = "Thursday"
    FRIDAY = "Friday"
    SATURDAY = "Saturday"
    SUNDAY = "Sunday"


@dataclass(frozen=True, slots=True)
class Cron:
    """The five fields of a crontab's line, in an IANA time zone."""

    expression: str
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Recurrence:
    """Every `interval` minutes, hours, days, weeks or months from the schedule's start on, in an IANA time zone.

    `week_days` go with weeks, `hours` and `minutes` with days and weeks: on these days, at these hours and minutes.
    """

    frequency: Frequency
    interval: int = 1
    week_days: tuple[WeekDay, ...] = ()
    hours: tuple[int, ...] = ()
    minutes: tuple[int, ...] = ()
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class NewDatasetVersion:
    """Each new version of a dataset, which the pipeline's `parameter`, where one is named, is given as NAME:VERSION."""

    dataset_name: str
    parameter: str = ""


class MissedFires(StrEnum):
    """What becomes of fires that nobody was there for: one run for all of them, or none."""

    RUN_ONCE = "run-once"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class ScheduleConfig:
    """When a published pipeline, or what stands behind a pipeline endpoint, is run, and with what.

    `pipeline_id` is the id of either. A start and an end have a time zone; none of them is no bound, and a recurrence without a
    start counts from the moment at which the schedule is made. An empty experiment is the pipeline's own.
    """

    name: str
    pipeline_id: str
    when: Cron | Recurrence | NewDatasetVersion
    experiment_name: str = ""
    start: datetime | None = None
    end: datetime | None = None
    missed_fires: MissedFires = MissedFires.RUN_ONCE
    parameters: Mapping[str, str | int | float | bool] = field(default_factory=_empty)
    tags: Mapping[str, str] = field(default_factory=_empty)
    description: str = ""


class ScheduleStatus(StrEnum):
    """`COMPLETED` is past its end."""

    ACTIVE = "Active"
    PAUSED = "Paused"
    COMPLETED = "Completed"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule, and how it stands. `last_error` says why its last fire started no run; empty where it did."""

    id: str
    config: ScheduleConfig
    status: ScheduleStatus
    created: datetime | None = None
    next_fire: datetime | None = None
    last_fire: datetime | None = None
    last_run_id: str = ""
    last_error: str = ""


class TokenScope(StrEnum):
    """What a token of the control server opens: each scope opens what the ones before it do."""

    READ = "read"
    TRIGGER = "trigger"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token of the control server without its secret, which is kept nowhere; `expires` is None where it never does."""

    id: str
    name: str
    scope: TokenScope
    created: datetime
    expires: datetime | None = None
    last_used: datetime | None = None
    revoked: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewAccessToken:
    """A token that was just made, with the secret that is told this once."""

    token: AccessToken
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit log: `actor` ("token ci", "user ada") did `action` to `subject`, asked from `origin`."""

    moment: datetime
    actor: str
    action: str
    subject: str
    origin: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CostlyResource:
    """Something a backend made that goes on costing money until it is released."""

    kind: str
    name: str
