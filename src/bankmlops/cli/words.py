"""Words that several commands take, and how they are read."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Annotated

import typer

from bankmlops.errors import InvalidRequestError


def _positive(minutes: float) -> float:
    if not 0 < minutes < float("inf"):
        raise typer.BadParameter(f"{minutes:g} minutes can't serve; give more than 0, such as 1")
    return minutes


Minutes = Annotated[float, typer.Option("--minutes", callback=_positive, help="The budget of the search, in minutes.")]
WaitMinutes = Annotated[
    float | None,
    typer.Option(
        "--minutes",
        callback=lambda minutes: None if minutes is None else _positive(minutes),
        help="Wait for so many minutes at most, and leave the run at it: to its end, if left out.",
    ),
]
PipelineMinutes = Annotated[
    float, typer.Option("--pipeline-minutes", callback=_positive, help="The budget of the pipeline's search, in minutes.")
]


def names_of(text: str) -> tuple[str, ...]:
    """The names in a line of CSV such as `A,"B, C"`. Raises `InvalidRequestError`."""
    try:
        names = [name.strip() for line in csv.reader([text], skipinitialspace=True, strict=True) for name in line]
    except csv.Error as error:
        raise InvalidRequestError(f"{text[:80]!r}: {error}; names such as A,B would serve, quoted as in '\"A, B\",C'") from error
    return tuple(name for name in names if name)


def tags_of(words: Sequence[str]) -> dict[str, str]:
    """Tags given as NAME=VALUE. Raises `InvalidRequestError`."""
    tags = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.strip():
            raise InvalidRequestError(f"--tag {word!r} can't serve; give NAME=VALUE")
        tags[name.strip()] = value
    return tags
