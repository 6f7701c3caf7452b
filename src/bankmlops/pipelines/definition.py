"""The values that a pipeline is made of. Frozen, and made of what JSON can hold, so that a published pipeline never changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bankmlops.pipelines.references import OutputReference, references_in
from bankmlops.types.defaults import empty_mapping

Scalar = str | int | float | bool


class ParameterType(StrEnum):
    """JSON schema's words for the types that a parameter may have."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True)
class Parameter:
    """What may be given anew at each run. Without a `default` it must be given; `choices` are all that it may be."""

    name: str
    type: ParameterType = ParameterType.STRING
    default: Scalar | None = None
    choices: tuple[Scalar, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Retries:
    """A failed step is tried again `count` times: after `wait_seconds`, then each time after `backoff` times the wait before."""

    count: int = 0
    wait_seconds: float = 10.0
    backoff: float = 2.0
    maximum_wait_seconds: float = 600.0

    def wait_before(self, attempt: int) -> float:
        """The seconds to wait before attempt number `attempt`, the first being 1."""
        if attempt < 2:
            return 0.0
        return min(self.wait_seconds * self.backoff ** (attempt - 2), self.maximum_wait_seconds)


@dataclass(frozen=True, slots=True)
class Step:
    """One step. Its `kind` says what it does; `bankmlops.pipelines.kinds` says what inputs and outputs each kind has.

    An input is a value that JSON can hold, or `${{ parameters.NAME }}`, or `${{ steps.STEP.outputs.NAME }}`. `after` names steps
    to wait for besides those that an input comes from. A step of the kind `function` has a `function` ("module:name"), a `source`
    (the file or folder that it is imported from; once submitted or published, the sha256 of its content) and names its `outputs`.
    """

    name: str
    kind: str
    inputs: Mapping[str, Any] = field(default_factory=empty_mapping)
    outputs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    function: str = ""
    source: str = ""
    allow_reuse: bool = True
    retries: Retries = field(default_factory=Retries)
    timeout_minutes: float | None = None

    @property
    def depends_on(self) -> tuple[str, ...]:
        """The steps that it waits for, each once: those that its inputs come from, then those of `after`."""
        sources = [found.step for found in references_in(self.inputs) if isinstance(found, OutputReference)]
        return tuple(dict.fromkeys([*sources, *self.after]))


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a run may be given besides its pipeline.

    An empty `experiment_name` is the pipeline's own. `allow_reuse` False has every step do its work anew, whatever the step says.
    """

    parameters: Mapping[str, Scalar] = field(default_factory=empty_mapping)
    experiment_name: str = ""
    tags: Mapping[str, str] = field(default_factory=empty_mapping)
    run_source: str = ""
    allow_reuse: bool | None = None


DEFAULT_OPTIONS = RunOptions()


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A graph of steps. `experiment_name` is where its runs belong by default, the pipeline's name if empty."""

    name: str
    steps: tuple[Step, ...]
    parameters: tuple[Parameter, ...] = ()
    description: str = ""
    experiment_name: str = ""
    tags: Mapping[str, str] = field(default_factory=empty_mapping)

    def step(self, name: str) -> Step:
        """The step of this name; raises `KeyError`."""
        return {step.name: step for step in self.steps}[name]
