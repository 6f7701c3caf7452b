"""Pipelines as YAML files: what one may hold, its JSON schema, and errors that name the line and say what would serve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, ValidationError

from bankmlops.errors import InvalidRequestError
from bankmlops.pipelines.builder import type_of
from bankmlops.pipelines.definition import Parameter, ParameterType, Pipeline, Retries, Step
from bankmlops.pipelines.kinds import KINDS, Input, InputType
from bankmlops.pipelines.validation import InvalidPipelineError, check_pipeline, closest
from bankmlops.pipelines.yaml_nodes import Document, Where, read_yaml

_Scalar = StrictStr | StrictBool | StrictInt | StrictFloat
_KindName = Literal["prepare", "guardrails", "automl", "evaluate", "register", "deploy", "batch_score", "function"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RetriesEntry(_Strict):
    """How a failed step is tried again."""

    count: int = Field(0, ge=0, le=100)
    wait_seconds: float = Field(10.0, ge=0)
    backoff: float = Field(2.0, ge=1)
    maximum_wait_seconds: float = Field(600.0, ge=0)


class ParameterEntry(_Strict):
    """A parameter; without a default it has to be given at each run."""

    type: ParameterType = ParameterType.STRING
    default: _Scalar | None = None
    choices: list[_Scalar] = Field(default_factory=list)
    description: str = ""


class StepEntry(_Strict):
    """A step."""

    kind: _KindName
    inputs: dict[str, Any] = Field(default_factory=dict)
    outputs: list[str] = Field(default_factory=list, description="of a function step: the names of what it gives")
    after: list[str] = Field(default_factory=list, description="steps to wait for besides those that inputs come from")
    function: str = Field("", description="of a function step: module:function")
    source: str = Field("", description="of a function step: its file or folder, relative to this file")
    allow_reuse: StrictBool = True
    retries: Annotated[int, Field(ge=0, le=100)] | RetriesEntry = 0
    timeout_minutes: float | None = Field(None, gt=0)


class PipelineFile(_Strict):
    """A pipeline: a graph of steps with parameters."""

    name: str
    description: str = ""
    experiment_name: str = ""
    tags: dict[str, str] = Field(default_factory=dict)
    parameters: dict[str, _Scalar | ParameterEntry] = Field(default_factory=dict, description="a value alone is its default")
    steps: dict[str, StepEntry]


def load_pipeline(path: Path) -> Pipeline:
    """Read a pipeline. Raises `InvalidRequestError` that begins with FILE:LINE:COLUMN."""
    document = read_yaml(path)
    try:
        pipeline = _pipeline(PipelineFile.model_validate(document.values), path.parent)
        check_pipeline(pipeline)
    except ValidationError as error:
        raise _refusal(document, error) from None
    except InvalidPipelineError as error:
        raise document.error(error.path, str(error)) from None
    return pipeline


@contextmanager
def naming_lines(path: Path) -> Iterator[None]:
    """What is refused of the file's pipeline inside, by whatever it is given to, names its line too."""
    try:
        yield
    except InvalidPipelineError as error:
        raise read_yaml(path).error(error.path, str(error)) from None


def pipeline_schema() -> Mapping[str, Any]:
    """The JSON schema of such a file, with the inputs of each kind of step."""
    schema = PipelineFile.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["$defs"]["StepEntry"]["allOf"] = [_schema_of(name) for name, kind in KINDS.items() if not kind.takes_any]
    return schema


def _pipeline(file: PipelineFile, folder: Path) -> Pipeline:
    return Pipeline(
        name=file.name,
        steps=tuple(_step(name, entry, folder) for name, entry in file.steps.items()),
        parameters=tuple(_parameter(name, entry) for name, entry in file.parameters.items()),
        description=file.description,
        experiment_name=file.experiment_name,
        tags=file.tags,
    )


def _step(name: str, entry: StepEntry, folder: Path) -> Step:
    step = Step(
        name=name,
        kind=entry.kind,
        inputs=entry.inputs,
        outputs=tuple(entry.outputs),
        after=tuple(entry.after),
        function=entry.function,
        allow_reuse=entry.allow_reuse,
        retries=Retries(entry.retries) if isinstance(entry.retries, int) else Retries(**entry.retries.model_dump()),
        timeout_minutes=entry.timeout_minutes,
    )
    return replace(step, source=str(folder / entry.source)) if entry.source else step


def _parameter(name: str, entry: Any) -> Parameter:
    if not isinstance(entry, ParameterEntry):
        return Parameter(name, type_of(entry), entry)
    return Parameter(name, entry.type, entry.default, tuple(entry.choices), entry.description)


def _refusal(document: Document, error: ValidationError) -> InvalidRequestError:
    """The first thing that is wrong; what belongs to one of several forms is told of the form that is meant."""
    first = max(
        error.errors(include_url=False, include_context=False, include_input=False),
        key=lambda each: len(_where(document, each["loc"])),
    )
    where = _where(document, first["loc"])
    said = ".".join(str(part) for part in where) or "the file"
    if first["type"] == "extra_forbidden":
        fields = _fields_at(where)
        return document.error(where, f"{said} is not known here; {closest(str(where[-1]), fields)}")
    return document.error(where, f"{said}: {_message(first, document.value(where))}")


def _message(first: Mapping[str, Any], value: object) -> str:
    if first["type"] == "missing":
        return f"{first['loc'][-1]} is missing"
    if first["type"] == "literal_error" and isinstance(value, str):
        return f"there is no {first['loc'][-1]} {value[:100]!r}; {closest(value, KINDS)}"
    if first["type"] in ("dict_type", "model_type", "dataclass_type", "model_attributes_type"):
        found = "nothing" if value is None else "a list" if isinstance(value, list) else repr(value)[:50]
        return f"{found} can't serve; NAME: VALUE, each on a line of its own, would"
    return f"{first['msg'][:1].lower()}{first['msg'][1:]}"


def _where(document: Document, location: tuple[int | str, ...]) -> Where:
    """The part of pydantic's location that is in the file: it also names the form of a union that was tried."""
    where: Where = ()
    for part in location:
        if (*where, part) in document.places:
            where = (*where, part)
    return where


def _fields_at(where: Where) -> list[str]:
    if len(where) == 1:
        return list(PipelineFile.model_fields)
    if "retries" in where:
        return list(RetriesEntry.model_fields)
    return list((StepEntry if where[0] == "steps" else ParameterEntry).model_fields)


def _schema_of(name: str) -> Mapping[str, Any]:
    kind = KINDS[name]
    properties = {each: _schema_of_input(entry) for each, entry in kind.inputs.items()}
    required = [each for each, entry in kind.inputs.items() if entry.required]
    inputs = {"properties": properties, "required": required, "additionalProperties": False}
    then = {"description": kind.description, "required": ["inputs"], "properties": {"inputs": inputs}}
    return {"if": {"properties": {"kind": {"const": name}}}, "then": then}


def _schema_of_input(entry: Input) -> Mapping[str, Any]:
    words = {InputType.LIST: "array", InputType.MAPPING: "object"}
    texts = (InputType.STRING, InputType.DATASET, InputType.MODEL, InputType.DATA)
    if entry.type in texts:
        return {"type": "string"}
    reference = {"type": "string", "pattern": r"^\s*\$\{\{.*\}\}\s*$"}
    return {"anyOf": [{"type": words.get(entry.type, str(entry.type))}, reference]}
