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


@dataclass(frozen=True, slots=True)
class AutoMLConfig:
    """What an AutoML classification run is asked for; the names are those of Azure ML's `AutoMLConfig`.

    `experiment_timeout_minutes` bounds the wall clock: set-up, search, ensembling, refit and export included.
    """

    dataset: Dataset
    experiment_name: str = "bankmarketing-automl"
    primary_metric: str = "accuracy"
    experiment_timeout_minutes: float = 1.0
    n_cross_validations: int = 5
    max_concurrent_iterations: int | None = None
    allowed_models: tuple[str, ...] = ()
    blocked_models: tuple[str, ...] = ()
    enable_voting_ensemble: bool = True
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


@dataclass(frozen=True, slots=True)
class DeploymentConfig:
    """How a model is served. `port` 0 takes a free one; `cpu_cores` and `memory_gb` bind where the runtime can bound them."""

    name: str
    auth_enabled: bool = True
    app_insights: bool = False
    cpu_cores: float = 1.0
    memory_gb: float = 1.0
    port: int = 0
    timeout_seconds: float = 120.0
    tags: Mapping[str, str] = field(default_factory=_empty)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A deployed model. `runtime` is "process" or "ACI"; URLs are empty while it is not there."""

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
    """One step of a pipeline run."""

    name: str
    status: RunStatus
    seconds: float = 0.0
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class PipelineRun:
    """A run of a pipeline, and how far its steps are."""

    id: str
    experiment_name: str
    status: RunStatus
    steps: tuple[StepRun, ...] = ()
    pipeline_id: str = ""
    outputs: Mapping[str, str] = field(default_factory=_empty)
    started: datetime | None = None
    ended: datetime | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class CostlyResource:
    """Something a backend made that goes on costing money until it is released."""

    kind: str
    name: str
