"""A run's parameters: what was given, checked against what the pipeline declares, and defaults for the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping

from bankmlops.errors import InvalidRequestError
from bankmlops.pipelines.definition import Parameter, ParameterType, Pipeline, Scalar

_MAXIMUM_CHARACTERS = 1000
_FILE = "file:"  # how a step's file is written: nobody brings a path from outside
_BOOLEANS = {"true": True, "false": False}


def assign(pipeline: Pipeline, given: Mapping[str, Scalar]) -> Mapping[str, Scalar]:
    """A value for every parameter, in the pipeline's order; a text is read as the parameter's type.

    Raises `InvalidRequestError` for an unknown name, a missing value, and a value that the parameter can't have.
    """
    known = {parameter.name: parameter for parameter in pipeline.parameters}
    for name in given:
        if name not in known:
            raise InvalidRequestError(f"pipeline {pipeline.name!r} has no parameter {name!r}; {_serve(known)}")
    return {name: _value(parameter, given.get(name, parameter.default)) for name, parameter in known.items()}


def read_value(parameter: Parameter, value: Scalar) -> Scalar:
    """The value in the parameter's type, among its choices. Raises `InvalidRequestError`."""
    typed = _typed(parameter, value)
    if parameter.choices and typed not in [_typed(parameter, choice) for choice in parameter.choices]:
        raise InvalidRequestError(
            f"parameter {parameter.name!r}: {value!r} is not among its choices; {_listed(parameter.choices)} would serve"
        )
    return typed


def _value(parameter: Parameter, value: Scalar | None) -> Scalar:
    if value is None:
        raise InvalidRequestError(f"parameter {parameter.name!r} has no default and was not given")
    return read_value(parameter, value)


def _typed(parameter: Parameter, value: Scalar) -> Scalar:
    typed = _READERS[parameter.type](value)
    if typed is None:
        raise InvalidRequestError(f"parameter {parameter.name!r}: {str(value)[:100]!r} is no {parameter.type}")
    return typed


def _string(value: Scalar) -> str | None:
    if isinstance(value, bool):
        return None
    text = str(value)
    is_line = len(text) <= _MAXIMUM_CHARACTERS and text.isprintable()
    return text if is_line and "${{" not in text and not text.startswith(_FILE) else None


def _integer(value: Scalar) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        return int(value) if not isinstance(value, float) or value.is_integer() else None
    except (ValueError, OverflowError):
        return None


def _number(value: Scalar) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _boolean(value: Scalar) -> bool | None:
    return value if isinstance(value, bool) else _BOOLEANS.get(str(value).lower())


_READERS = {
    ParameterType.STRING: _string,
    ParameterType.INTEGER: _integer,
    ParameterType.NUMBER: _number,
    ParameterType.BOOLEAN: _boolean,
}


def _serve(known: Mapping[str, Parameter]) -> str:
    return f"{_listed(tuple(known))} would serve" if known else "it has none"


def _listed(values: tuple[Scalar, ...]) -> str:
    return ", ".join(str(value) for value in values)
