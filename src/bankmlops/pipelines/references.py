"""What an input refers to: a parameter, or an output of another step. The notation is that of Azure ML's YAML, `${{ ... }}`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bankmlops.errors import InvalidRequestError

_MAXIMUM_DEPTH = 8
_NAME = r"[A-Za-z][A-Za-z0-9_-]{0,63}"
_MARKED = re.compile(r"\s*\$\{\{(.*)\}\}\s*", re.DOTALL)
_PARAMETER = re.compile(rf"parameters\.({_NAME})")
_OUTPUT = re.compile(rf"steps\.({_NAME})\.outputs\.({_NAME})")
NAME = re.compile(_NAME)


@dataclass(frozen=True, slots=True)
class ParameterReference:
    """`${{ parameters.NAME }}`."""

    name: str

    def __str__(self) -> str:
        return f"${{{{ parameters.{self.name} }}}}"


@dataclass(frozen=True, slots=True)
class OutputReference:
    """`${{ steps.STEP.outputs.NAME }}`."""

    step: str
    output: str

    def __str__(self) -> str:
        return f"${{{{ steps.{self.step}.outputs.{self.output} }}}}"


Reference = ParameterReference | OutputReference


def read_reference(value: object) -> Reference | None:
    """What the text refers to; None for any other value. Raises `InvalidRequestError` for `${{ ... }}` that is neither."""
    if not isinstance(value, str) or "${{" not in value:
        return None
    marked = _MARKED.fullmatch(value)
    body = marked[1].strip() if marked else ""
    if found := _PARAMETER.fullmatch(body):
        return ParameterReference(found[1])
    if found := _OUTPUT.fullmatch(body):
        return OutputReference(found[1], found[2])
    raise InvalidRequestError(
        f"{value[:200]!r} is no reference; ${{{{ parameters.NAME }}}} or ${{{{ steps.STEP.outputs.NAME }}}}, "
        "and nothing before or after it, would serve"
    )


def references_in(value: object) -> Iterator[Reference]:
    """Every reference in the value, in order; raises `InvalidRequestError`."""
    found: list[Reference] = []

    def note(reference: Reference) -> str:
        found.append(reference)
        return ""

    resolved(value, note)
    yield from found


def resolved(value: object, look_up: Callable[[Reference], Any], depth: int = 0) -> Any:
    """The value with what `look_up` answers in the place of each reference."""
    if depth > _MAXIMUM_DEPTH:
        raise InvalidRequestError(f"an input is nested more than {_MAXIMUM_DEPTH} deep")
    if isinstance(value, Mapping):
        return {str(key): resolved(entry, look_up, depth + 1) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [resolved(entry, look_up, depth + 1) for entry in value]
    reference = read_reference(value)
    return value if reference is None else look_up(reference)
