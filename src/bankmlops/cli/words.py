"""Words that several commands take, and how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from bankmlops.errors import InvalidRequestError


def _positive(minutes: float) -> float:
    if not 0 < minutes < float("inf"):
        raise typer.BadParameter(f"{minutes:g} minutes can't serve; give more than 0, such as 1")
    return minutes


Minutes = Annotated[float, typer.Option("--minutes", callback=_positive, help="The budget of the search, in minutes.")]
PipelineMinutes = Annotated[
    float, typer.Option("--pipeline-minutes", callback=_positive, help="The budget of the pipeline's search, in minutes.")
]


def names_of(text: str) -> tuple[str, ...]:
    """The names in a text such as `A,B`."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def tags_of(words: Sequence[str]) -> dict[str, str]:
    """Tags given as NAME=VALUE. Raises `InvalidRequestError`."""
    tags = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.strip():
            raise InvalidRequestError(f"--tag {word!r} can't serve; give NAME=VALUE")
        tags[name.strip()] = value
    return tags
