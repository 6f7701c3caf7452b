"""Fits the winner's members on all rows, beside each other, within what is left of the budget."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from bankmlops.automl.attempt import Contender
from bankmlops.automl.executor import Executor
from bankmlops.automl.tasks import ALL_ROWS, FitTask, estimator_path, graph_path

Array = numpy.ndarray[Any, Any]

CONVERSION_SECONDS = 1.5  # of a fitted estimator to its graph
_POLL_SECONDS = 0.25
_SHORTEST_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Member:
    """A fitted part of the winner: where its estimator and its graph are, and what it makes of all rows."""

    contender: Contender
    estimator: Path
    graph: Path
    probabilities: Array


def refit_seconds(contender: Contender, fold_count: int) -> float:
    """About how long a fit on all rows with its export takes, going by its longest fold."""
    return contender.fold_seconds * fold_count / max(fold_count - 1, 1) * 1.1 + CONVERSION_SECONDS


def refit(
    executor: Executor,
    folder: Path,
    contenders: Sequence[Contender],
    *,
    fold_count: int,
    slots: int,
    seed: int,
    deadline: float,
    last_moment: float,
) -> list[Member]:
    """Fit each of `contenders` on all rows, the first first; moments are those of `time.monotonic`.

    A boosted learner grows as many more rounds as it has more rows, in the time until the `deadline`. Who is not done at the
    `last_moment` is left out, where another is done.
    """
    threads = max(slots // len(contenders), 1)
    seconds = max((deadline - time.monotonic()) * slots / max(len(contenders), slots) - CONVERSION_SECONDS, _SHORTEST_SECONDS)
    waiting = [
        (FitTask(f"refit-{contender.proposal.number:04d}", contender.trial.algorithm, _parameters(contender, fold_count),
                 ALL_ROWS, seed, threads, seconds), contender)
        for contender in contenders
    ]  # fmt: skip
    by_name = {task.name: contender for task, contender in waiting}
    members, begun = [], []
    while waiting or executor.running:
        while waiting and executor.running < slots:
            begun.append(waiting.pop(0)[0])
            executor.submit(begun[-1])
        ended = executor.next_ended(_POLL_SECONDS)
        if ended and not ended[1].error:
            task, result = ended
            paths = estimator_path(folder, task), graph_path(folder, task)
            members.append(Member(by_name[task.name], *paths, result.probabilities))
        if time.monotonic() > last_moment and members:
            break
    for task in begun:
        executor.kill(task)
    order = {contender.proposal.number: place for place, contender in enumerate(contenders)}
    return sorted(members, key=lambda member: order[member.contender.proposal.number])


def _parameters(contender: Contender, fold_count: int) -> dict[str, float]:
    parameters = dict(contender.proposal.parameters)
    if contender.proposal.algorithm.boosted:
        parameters["n_estimators"] = max(round(contender.rounds * fold_count / (fold_count - 1)), 1)
    return parameters
