"""Whether a pipeline fits together: said before it runs, in one line that names the step."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from bankmlops.errors import InvalidRequestError
from bankmlops.pipelines.definition import Pipeline, Retries, Step
from bankmlops.pipelines.kinds import FUNCTION, KINDS, Input, InputType
from bankmlops.pipelines.parameters import read_value
from bankmlops.pipelines.references import NAME, ParameterReference, Reference, read_reference, references_in

_PIPELINE_NAME = re.compile(r"[^\x00-\x1f\x7f/\\]{1,255}")
_FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,200}:[A-Za-z_][A-Za-z0-9_]{0,100}")
_MAXIMUM_STEPS, _MAXIMUM_PARAMETERS, _MAXIMUM_INPUTS = 100, 100, 100
_MAXIMUM_RETRIES = 100
_MAXIMUM_MINUTES = 60.0 * 24 * 30
_WORDS: Mapping[InputType, tuple[type, ...]] = {
    InputType.STRING: (str,),
    InputType.INTEGER: (int,),
    InputType.NUMBER: (int, float),
    InputType.BOOLEAN: (bool,),
    InputType.LIST: (list, tuple),
    InputType.MAPPING: (Mapping,),
    InputType.DATASET: (str,),
    InputType.MODEL: (str,),
    InputType.DATA: (str,),
}


class InvalidPipelineError(InvalidRequestError):
    """A pipeline that does not fit together; `path` are the keys of what is wrong, as a file of it would have them."""

    def __init__(self, message: str, *path: str) -> None:
        super().__init__(message)
        self.path = path


def check_pipeline(pipeline: Pipeline) -> None:
    """Raises `InvalidPipelineError` for the first thing that does not fit."""
    with _at("name"):
        check_text("the pipeline's name", pipeline.name)
    if pipeline.experiment_name:
        with _at("experiment_name"):
            check_text("the pipeline's experiment name", pipeline.experiment_name)
    with _at("parameters"):
        _check_count("parameters", pipeline.parameters, _MAXIMUM_PARAMETERS)
        _check_names("parameter", [parameter.name for parameter in pipeline.parameters])
    for parameter in pipeline.parameters:
        with _at("parameters", parameter.name):
            for value in (*parameter.choices, *(() if parameter.default is None else (parameter.default,))):
                read_value(parameter, value)
    with _at("steps"):
        _check_count("steps", pipeline.steps, _MAXIMUM_STEPS)
        if not pipeline.steps:
            raise InvalidRequestError(f"pipeline {pipeline.name!r} has no steps")
        _check_names("step", [step.name for step in pipeline.steps])
    for step in pipeline.steps:
        with _at("steps", step.name):
            _check_step(pipeline, step)
    with _at("steps"):
        in_order(pipeline)


@contextmanager
def _at(*path: str) -> Iterator[None]:
    """What is wrong inside is wrong at this place, or at a place within it."""
    try:
        yield
    except InvalidRequestError as error:
        inner = error.path if isinstance(error, InvalidPipelineError) else ()
        raise InvalidPipelineError(str(error), *path, *inner) from None


def in_order(pipeline: Pipeline) -> Sequence[Step]:
    """The steps, each after those it waits for, else as they stand. Raises `InvalidRequestError` for a circle."""
    left, done = list(pipeline.steps), list[Step]()
    while left:
        names = {step.name for step in left}
        ready = next((step for step in left if not names & set(step.depends_on)), None)
        if ready is None:
            raise InvalidRequestError(f"these steps wait for each other: {', '.join(_circle(left))}")
        left.remove(ready)
        done.append(ready)
    return done


def after(pipeline: Pipeline, names: Iterable[str]) -> frozenset[str]:
    """The steps that wait for these, at once or through others."""
    found = set(names)
    for step in in_order(pipeline):
        if found & set(step.depends_on):
            found.add(step.name)
    return frozenset(found - set(names))


def check_text(what: str, text: str) -> None:
    """Raises `InvalidRequestError` for a name that could be no part of a path or a line."""
    if _PIPELINE_NAME.fullmatch(text) is None or text != text.strip():
        raise InvalidRequestError(f"{what} {text!r} can't serve; give 1 to 255 characters without a slash or a line break")


def closest(name: str, known: Iterable[str]) -> str:
    """What would serve in the place of an unknown name."""
    names = list(known)
    near = difflib.get_close_matches(name, names, 1)
    return f"did you mean {near[0]!r}?" if near else f"{', '.join(names) or 'nothing'} would serve"


def outputs_of(step: Step) -> tuple[str, ...]:
    """The names of what it gives."""
    return step.outputs if step.kind == FUNCTION else KINDS[step.kind].outputs


def _check_step(pipeline: Pipeline, step: Step) -> None:
    try:
        _check_kind(step)
        with _at("inputs"):
            _check_inputs(pipeline, step)
        with _at("after"):
            _check_after(pipeline, step)
        _check_bounds(step.retries, step.timeout_minutes)
    except InvalidRequestError as error:
        path = error.path if isinstance(error, InvalidPipelineError) else ()
        raise InvalidPipelineError(f"step {step.name!r}: {error}", *path) from None


def _check_kind(step: Step) -> None:
    if step.kind not in KINDS:
        raise InvalidRequestError(f"there is no kind {step.kind!r}; {closest(step.kind, KINDS)}")
    if step.kind == FUNCTION:
        if _FUNCTION.fullmatch(step.function) is None:
            raise InvalidRequestError(f"function {step.function!r} can't serve; name it as module:function")
        if not step.source:
            raise InvalidRequestError("source is missing: the file or folder that the function is imported from")
        _check_names("output", step.outputs)
    elif step.function or step.source or step.outputs:
        raise InvalidRequestError(f"a step of kind {step.kind} has no function, source or outputs of its own")


def _check_inputs(pipeline: Pipeline, step: Step) -> None:
    kind = KINDS[step.kind]
    _check_count("inputs", step.inputs, _MAXIMUM_INPUTS)
    for name, value in step.inputs.items():
        with _at(name):
            _check_input_name(step.kind, name)
            _check_value(name, value, kind.inputs.get(name, Input(InputType.ANY)))
            for reference in references_in(value):
                _check_reference(pipeline, reference)
    for name in (name for name, each in kind.inputs.items() if each.required and name not in step.inputs):
        raise InvalidRequestError(f"input {name!r} is missing")
    compared = "champion" in step.inputs or "champion_endpoint" in step.inputs
    if step.kind == "evaluate" and compared and "dataset" not in step.inputs:
        raise InvalidRequestError("input 'dataset' is missing: the rows that model and champion are compared on")


def _check_input_name(kind: str, name: str) -> None:
    known = KINDS[kind]
    if name not in known.inputs and not known.takes_any:
        raise InvalidRequestError(f"a step of kind {kind} has no input {name!r}; {closest(name, known.inputs)}")
    if known.takes_any and not name.isidentifier():
        raise InvalidRequestError(f"input {name!r} can't be a function's argument")


def _check_value(name: str, value: Any, wanted: Input) -> None:
    if wanted.type is InputType.ANY or (value is None and not wanted.required) or read_reference(value) is not None:
        return
    is_boolean = isinstance(value, bool)
    if not isinstance(value, _WORDS[wanted.type]) or (is_boolean and wanted.type is not InputType.BOOLEAN):
        raise InvalidRequestError(f"input {name!r}: {value!r} is no {wanted.type}")


def _check_reference(pipeline: Pipeline, reference: Reference) -> None:
    if isinstance(reference, ParameterReference):
        known = [parameter.name for parameter in pipeline.parameters]
        if reference.name not in known:
            raise InvalidRequestError(f"there is no parameter {reference.name!r}; {closest(reference.name, known)}")
        return
    step = next((step for step in pipeline.steps if step.name == reference.step), None)
    if step is None:
        raise InvalidRequestError(
            f"there is no step {reference.step!r}; {closest(reference.step, [each.name for each in pipeline.steps])}"
        )
    if step.kind in KINDS and reference.output not in outputs_of(step):
        raise InvalidRequestError(
            f"step {step.name!r} gives no output {reference.output!r}; {closest(reference.output, outputs_of(step))}"
        )


def _check_after(pipeline: Pipeline, step: Step) -> None:
    names = [each.name for each in pipeline.steps]
    for name in step.after:
        if name not in names:
            raise InvalidRequestError(f"after: there is no step {name!r}; {closest(name, names)}")


def _check_bounds(retries: Retries, timeout_minutes: float | None) -> None:
    if not 0 <= retries.count <= _MAXIMUM_RETRIES:
        raise InvalidRequestError(f"retries {retries.count} can't serve; 0 to {_MAXIMUM_RETRIES} would")
    if not (0 <= retries.wait_seconds < float("inf") and 1 <= retries.backoff < float("inf")):
        raise InvalidRequestError("retries: a wait of 0 seconds or more and a backoff of 1 or more would serve")
    if timeout_minutes is not None and not 0 < timeout_minutes <= _MAXIMUM_MINUTES:
        most = f"more than 0 and at most {_MAXIMUM_MINUTES:.0f}"
        raise InvalidRequestError(f"timeout_minutes {timeout_minutes} can't serve; {most} would")


def _check_names(what: str, names: Sequence[str]) -> None:
    for name, count in Counter(names).items():
        if NAME.fullmatch(name) is None:
            raise InvalidPipelineError(
                f"{what} name {name!r} can't serve; give a letter and at most 63 letters, digits, - or _ after it", name
            )
        if count > 1:
            raise InvalidRequestError(f"there are {count} {what}s named {name!r}; give each a name of its own")


def _check_count(what: str, values: Sequence[object] | Mapping[str, object], maximum: int) -> None:
    if len(values) > maximum:
        raise InvalidRequestError(f"{len(values)} {what} are too many; {maximum} are the most")


def _circle(left: Sequence[Step]) -> Sequence[str]:
    """One circle among steps that all wait for another of them."""
    waits = {step.name: next(name for name in step.depends_on if any(each.name == name for each in left)) for step in left}
    name, seen = left[0].name, list[str]()
    while name not in seen:
        seen.append(name)
        name = waits[name]
    return [*seen[seen.index(name) :], name]
