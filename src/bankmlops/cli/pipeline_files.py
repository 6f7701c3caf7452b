"""What the pipeline commands say about YAML files, parameters and the files of steps."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bankmlops.errors import InvalidRequestError
from bankmlops.pipelines import Pipeline, RunOptions
from bankmlops.types import PipelineConfig, PrunedRuns

_SUFFIXES = (".yaml", ".yml")
StepName = Annotated[str, typer.Argument(metavar="STEP", help="The step's name.")]


Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Give a parameter a value; may be repeated.")
]


@dataclass(frozen=True, slots=True)
class RunWords:
    """What a run is given besides its pipeline."""

    assignments: Assignments = None
    reuse: Annotated[
        bool, typer.Option("--reuse/--no-reuse", help="Take over results of steps that are unchanged, or do all anew.")
    ] = True

    @property
    def options(self) -> RunOptions:
        """The same as a backend takes it. Raises `InvalidRequestError` for a word that assigns nothing."""
        return RunOptions(parameters=parameters_of(self.assignments), allow_reuse=None if self.reuse else False)


def is_pipeline_file(name: str) -> bool:
    """Whether a word names a YAML file and not a pipeline."""
    return name.lower().endswith(_SUFFIXES)


def lines_named(name: str) -> AbstractContextManager[None]:
    """Where the word names a file, what is refused of its pipeline inside names the line."""
    if not is_pipeline_file(name):
        return nullcontext()
    from bankmlops.pipelines.yaml_file import naming_lines

    return naming_lines(Path(name))


def description_of(pipeline: PipelineConfig | Pipeline) -> str:
    """What a file says of its pipeline."""
    return pipeline.description if isinstance(pipeline, Pipeline) else ""


def draw_path(document: Mapping[str, str]) -> str:
    """Where a file lies now."""
    return document["path"]


def draw_pruned(dry_run: bool, pruned: PrunedRuns) -> str:
    """What was deleted, or would be."""
    what = "would be deleted" if dry_run else "deleted"
    kept = f"; {pruned.kept:,} as old are needed and stay" if pruned.kept else ""
    return f"{len(pruned.run_ids):,} pipeline runs {what}, {pruned.bytes / 1e6:,.1f} MB{kept}"


def parameters_of(words: list[str] | None) -> Mapping[str, str]:
    """The parameters that were given. Raises `InvalidRequestError` for a word that assigns nothing."""
    return dict(assignment(word) for word in words or ())


def assignment(word: str) -> tuple[str, str]:
    """A parameter and its value, given as NAME=VALUE. Raises `InvalidRequestError`."""
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise InvalidRequestError(f"--set {word!r} assigns nothing; --set NAME=VALUE would serve")
    return name, value
