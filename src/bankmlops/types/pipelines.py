"""Pipelines: the simple form, what is published of them, and how their runs stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from bankmlops.types.defaults import empty_mapping
from bankmlops.types.runs import AutoMLConfig, RunStatus


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
    """An immutable, named, versioned pipeline with a REST endpoint that a POST with a bearer token triggers.

    `dataset` is what it trains on where a run is given no parameters: NAME:VERSION, or NAME for the newest; empty where a step of
    its own makes it, or the backend does not tell.
    """

    id: str
    name: str
    version: str
    endpoint: str
    status: str = "Active"
    description: str = ""
    dataset: str = ""


@dataclass(frozen=True, slots=True)
class PipelineEndpoint:
    """A stable name and REST endpoint over published pipelines: `versions` are their ids by version, one of them the default."""

    id: str
    name: str
    endpoint: str
    default_version: str
    versions: Mapping[str, str] = field(default_factory=empty_mapping)
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
    outputs: Mapping[str, str] = field(default_factory=empty_mapping)


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
    outputs: Mapping[str, str] = field(default_factory=empty_mapping)
    started: datetime | None = None
    ended: datetime | None = None
    error: str = ""
    name: str = ""
    parameters: Mapping[str, str] = field(default_factory=empty_mapping)
    tags: Mapping[str, str] = field(default_factory=empty_mapping)
    run_source: str = ""
    resubmitted_from: str = ""


@dataclass(frozen=True, slots=True)
class PrunedRuns:
    """Old pipeline runs that nobody needs, oldest first: their ids, the bytes of their files, and how many as old are needed."""

    run_ids: tuple[str, ...] = ()
    bytes: int = 0
    kept: int = 0
