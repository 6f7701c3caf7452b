"""A pipeline run's steps in layers, each in the one after the last step that it waits for: what terminals and notebooks draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from bankmlops.types import PipelineRun, Run, RunStatus, StepRun


def waits_for(steps: Sequence[StepRun]) -> Mapping[str, tuple[str, ...]]:
    """The steps of the run that each step waits for; those of a run that says nothing of that are a chain."""
    names = {step.name for step in steps}
    told = {step.name: tuple(name for name in step.depends_on if name in names) for step in steps}
    if any(told.values()):
        return told
    return {step.name: (steps[place - 1].name,) if place else () for place, step in enumerate(steps)}


def layers(steps: Sequence[StepRun]) -> Sequence[Sequence[StepRun]]:
    """The steps by how many others stand before them at least; steps of one layer keep their order. A cycle ends all the same."""
    waits = waits_for(steps)
    depth = dict.fromkeys(waits, 0)
    for _ in steps:
        for step in steps:
            deepest = max((depth[name] for name in waits[step.name]), default=-1)
            depth[step.name] = min(deepest + 1, len(steps) - 1)
    found = [[step for step in steps if depth[step.name] == level] for level in range(len(steps))]
    return [layer for layer in found if layer]


def with_progress(run: PipelineRun, read: Callable[[str], Run]) -> PipelineRun:
    """The run, whose steps that train say how far their search is, with its best score; `read` is a backend's `get_run`."""
    return replace(run, steps=tuple(_step_with_progress(step, read) for step in run.steps))


def _step_with_progress(step: StepRun, read: Callable[[str], Run]) -> StepRun:
    if step.status is not RunStatus.RUNNING or step.progress or not step.run_id:
        return step
    return replace(step, progress=read(step.run_id).progress)


def readable(output: str) -> str:
    """A step's output as a person reads it: a file by its own name, others as they are."""
    return output.partition("#")[0].rpartition("/")[2] if output.startswith("file:") else output


def lasted(started: datetime | None, ended: datetime | None) -> int | None:
    """Whole seconds from one to the other, to this moment where it has not ended; None where it has not begun."""
    return None if started is None else max(0, round(((ended or datetime.now(UTC)) - started).total_seconds()))
