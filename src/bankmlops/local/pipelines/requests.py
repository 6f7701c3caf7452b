"""What goes into a pipeline's workflows and comes out of them; all of it is kept as JSON, and read by other processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bankmlops.local.pipelines.documents import from_document
from bankmlops.pipelines import Pipeline, Scalar, Step, from_config
from bankmlops.types import PipelineConfig
from bankmlops.types.defaults import empty_mapping


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a run is started with.

    `parameters` are those that were given. `allow_reuse` False has every step do its work anew, whatever the step says; None
    leaves it to the steps. A run that is `resubmitted_from` another takes over the results of its finished steps, but not those
    of `from_step` and of what waits for it.
    """

    pipeline: Pipeline
    parameters: Mapping[str, Scalar] = field(default_factory=empty_mapping)
    experiment_name: str = ""
    pipeline_id: str = ""
    run_source: str = ""
    tags: Mapping[str, str] = field(default_factory=empty_mapping)
    resubmitted_from: str = ""
    from_step: str = ""
    allow_reuse: bool | None = None

    @property
    def experiment(self) -> str:
        """The experiment that the run belongs to."""
        return self.experiment_name or self.pipeline.experiment_name or self.pipeline.name


def read_request(document: Mapping[str, Any]) -> RunRequest:
    """The request that a run was started with; one of an earlier version has the simple form of a pipeline."""
    if "config" in document:
        graph = from_config(from_document(PipelineConfig, document["config"]))
        return RunRequest(graph, experiment_name=document["experiment_name"], pipeline_id=document["pipeline_id"])
    return from_document(RunRequest, document)


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step came to. `hash` is that of its code and inputs; `reason` says why an earlier result was reused, or why not.

    `seconds` is how long its last attempt took; DBOS keeps whole seconds alone.
    """

    outputs: Mapping[str, str] = field(default_factory=empty_mapping)
    hash: str = ""
    reused_from: str = ""
    reason: str = ""
    attempts: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class StepRequest:
    """A step of the run `run_id` with its inputs in the place of references; `taken_over` is a result of another run."""

    run_id: str
    pipeline_name: str
    step: Step
    inputs: Mapping[str, Any]
    parameters: Mapping[str, Scalar]
    experiment_name: str
    tags: Mapping[str, str]
    allow_reuse: bool
    taken_over: StepResult | None = None
    taken_over_from: str = ""
