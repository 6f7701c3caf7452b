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
    """One row of the leaderboard: a trial, or an ensemble of trials."""

    id: str
    iteration: int
    algorithm: str
    status: RunStatus
    score: float
    metrics: Mapping[str, float] = field(default_factory=_empty)
    parameters: Mapping[str, str] = field(default_factory=_empty)
    seconds: float = 0.0


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

    `runtime_reason` says why that runtime was taken where nobody asked for it.
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


@dataclass(frozen=True, slots=True)
class CostlyResource:
    """Something a backend made that goes on costing money until it is released."""

    kind: str
    name: str
