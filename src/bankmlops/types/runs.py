"""Training: what an AutoML run is asked for, and how it and its trials stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from bankmlops.types.datasets import Dataset
from bankmlops.types.defaults import empty_mapping


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
    DATETIME = "DateTime"
    TEXT = "Text"
    IGNORE = "Ignore"


@dataclass(frozen=True, slots=True)
class Featurization:
    """How columns become features: Azure's "auto" and "off", and what its `FeaturizationConfig` sets for single columns.

    "off" takes a table of numbers and true or false without gaps, as they are, and no settings for columns.
    """

    mode: FeaturizationMode = FeaturizationMode.AUTO
    drop_columns: tuple[str, ...] = ()
    column_purposes: Mapping[str, ColumnPurpose] = field(default_factory=empty_mapping)

    def __str__(self) -> str:
        """As a person writes it: "auto", or "auto, job: Ignore"."""
        purposes = {**dict.fromkeys(self.drop_columns, ColumnPurpose.IGNORE), **self.column_purposes}
        return ", ".join([str(self.mode), *(f"{name}: {purpose}" for name, purpose in purposes.items())])


class Device(StrEnum):
    """What learners fit on. `AUTO` is what they can use."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Engine(StrEnum):
    """Where trials run: in processes of this machine, or as tasks on the machines of a Ray cluster."""

    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True, slots=True)
class AutoMLConfig:
    """What an AutoML classification run is asked for; the names are those of Azure ML's `AutoMLConfig`.

    `experiment_timeout_minutes` bounds the wall clock: set-up, search, ensembling, refit and export included; `iterations` how
    many configurations are tried, `iteration_timeout_minutes` the wall clock of each. `n_cross_validations`, `validation_size` (a
    share of the rows) and `validation_dataset` exclude each other; without any of them docs/automl.md has the rule.
    `positive_label` is the class that the `_binary` metrics are of, and of two classes the curves. None is the last of two in
    alphabetical order, and none of more. `address` is of the engine `ray` alone: HOST:PORT of a cluster, ray://HOST:PORT or auto.
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
    enable_dnn: bool = False
    model_explainability: bool = True
    random_seed: int = 42
    device: Device = Device.AUTO
    engine: Engine = Engine.LOCAL
    address: str = ""
    compute_target: str = "automl-cluster"
    tags: Mapping[str, str] = field(default_factory=empty_mapping)


@dataclass(frozen=True, slots=True)
class Run:
    """A training run. `metrics` bear Azure's names (`accuracy`, `AUC_weighted`, ...) and belong to its best model.

    `progress` is a line such as "trial 7, best accuracy 0.9161"; `error` is one line where `status` is Failed. `dataset` is what
    it was trained on, NAME:VERSION; empty where the backend does not tell.
    """

    id: str
    experiment_name: str
    status: RunStatus
    primary_metric: str = ""
    best_algorithm: str = ""
    best_child_id: str = ""
    metrics: Mapping[str, float] = field(default_factory=empty_mapping)
    tags: Mapping[str, str] = field(default_factory=empty_mapping)
    trials: int = 0
    started: datetime | None = None
    ended: datetime | None = None
    progress: str = ""
    fraction: float = 0.0
    error: str = ""
    portal_url: str = ""
    dataset: str = ""

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
    metrics: Mapping[str, float] = field(default_factory=empty_mapping)
    parameters: Mapping[str, str] = field(default_factory=empty_mapping)
    seconds: float = 0.0
    error: str = ""
