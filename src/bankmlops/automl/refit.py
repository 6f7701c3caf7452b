"""Fits the winner's members on all rows, beside each other, within what is left of the budget; again with other seeds, if it can.

The search boosts in large steps, which cost little and rank configurations as small ones do; here the steps are half as
large, and there are twice as many, where there is time (docs/decisions/0009).

The mean of fits that differ in their seed alone has a lower loss than each of them. A member's weight is spread over its fits, so
the heaviest members are fitted again first.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from bankmlops.automl.attempt import Contender
from bankmlops.automl.executor import Executor
from bankmlops.automl.tasks import ALL_ROWS, FitResult, FitTask, estimator_path, graph_path

Array = numpy.ndarray[Any, Any]

CONVERSION_SECONDS, CONVERSION_SECONDS_A_TREE = 1.0, 0.0004  # of a fitted estimator to its graph, and what all rows want of it
FINER_STEPS = 2  # of boosting, in place of one of the search
MAXIMUM_FITS = 4  # of one member
MAXIMUM_TREES = 3_000  # of all fits together: each costs microseconds of every request
_POLL_SECONDS = 0.25
_SHORTEST_SECONDS = 0.5
SAFETY = 1.25  # a fit may take so much longer than the one before it
_SEED_STEP = 1_000_003


@dataclass(frozen=True, slots=True)
class Fit:
    """One fit on all rows: where its estimator and its graph are, and what it makes of all rows."""

    estimator: Path
    graph: Path
    probabilities: Array


@dataclass(frozen=True, slots=True)
class Member:
    """A part of the winner, with its fits on all rows, which differ in their seeds."""

    contender: Contender
    fits: tuple[Fit, ...]

    @property
    def probabilities(self) -> Array:
        """float64 [rows, classes]: what it makes of all rows."""
        return numpy.asarray(sum(fit.probabilities for fit in self.fits) / len(self.fits))


def refit_seconds(contender: Contender, fold_count: int, steps: int = 1) -> float:
    """About how long a fit on all rows with its export takes, going by its longest fold; `steps` are in place of one."""
    more = steps if contender.proposal.algorithm.boosted else 1
    fit = contender.fold_seconds * fold_count / max(fold_count - 1, 1) * 1.1 * more
    return fit + _conversion_seconds(contender, fold_count, steps)


def _conversion_seconds(contender: Contender, fold_count: int, steps: int) -> float:
    """Boosting ten classes makes ten thousand trees within seconds, and their graph takes as many again."""
    return CONVERSION_SECONDS + CONVERSION_SECONDS_A_TREE * _trees(contender, fold_count, steps)


class Refit:
    """The fits of `contenders` on all rows; `weights` say how much each brings. Moments are those of `time.monotonic`."""

    def __init__(
        self,
        executor: Executor,
        folder: Path,
        contenders: Sequence[Contender],
        weights: Sequence[float],
        *,
        fold_count: int,
        slots: int,
        seed: int,
        device: str = "cpu",
    ) -> None:
        self._executor = executor
        self._folder = folder
        self._contenders = contenders
        self._weights = weights
        self._fold_count = fold_count
        self._slots = slots
        self._seed = seed
        self._device = device
        self._steps = 1
        self._running: dict[str, tuple[FitTask, int]] = {}  # by name: the task, and the place of its contender
        self._fits: list[list[Fit]] = [[] for _ in contenders]
        self._begun = [0] * len(contenders)
        self._seconds = [0.0] * len(contenders)
        self.failure = "no fit ended in time; go on from its trials with more minutes"  # why there is none, where there is none

    def run(self, deadline: float, last_moment: float, late_seconds: float) -> list[Member]:
        """Fit each once, the first first, and then again with other seeds what is done by the `deadline`.

        A boosted learner grows as many more rounds as it has more rows, in the time until the `deadline`. Who is not done at the
        `last_moment` is left out, where another is done. Where none is, a model late is better than none, for `late_seconds`.
        """
        self._steps = self._affordable_steps(deadline)
        bound = self._boosting_seconds(deadline)
        given_up = max(last_moment, time.monotonic()) + late_seconds
        waiting = list(range(len(self._contenders)))
        while True:
            while len(self._running) < self._slots and (waiting or self._next_again(deadline) is not None):
                again = None if waiting else self._next_again(deadline)
                self._begin(waiting.pop(0) if again is None else again, bound if again is None else 0.0)
            if not self._running:
                break
            self._take(self._executor.next_ended(_POLL_SECONDS))
            now = time.monotonic()
            if now > given_up or (now > (last_moment if self._lacks_one(waiting) else deadline) and any(self._fits)):
                break
        for task, _ in self._running.values():
            self._executor.kill(task)
        return [Member(one, tuple(fits)) for one, fits in zip(self._contenders, self._fits, strict=True) if fits]

    def _lacks_one(self, waiting: Sequence[int]) -> bool:
        """Whether a member's first fit is under way or to come."""
        return bool(waiting) or any(not self._fits[place] for _, place in self._running.values())

    def _affordable_steps(self, deadline: float) -> int:
        left = deadline - time.monotonic()
        for steps in range(FINER_STEPS, 1, -1):
            seconds = [refit_seconds(contender, self._fold_count, steps) for contender in self._contenders]
            trees = sum(_trees(contender, self._fold_count, steps) for contender in self._contenders)
            if max(*seconds, sum(seconds) / self._slots) <= left and trees <= MAXIMUM_TREES:
                return steps
        return 1

    def _boosting_seconds(self, deadline: float) -> float:
        rounds = max(len(self._contenders), self._slots) / self._slots
        conversion = max(_conversion_seconds(contender, self._fold_count, self._steps) for contender in self._contenders)
        return max((deadline - time.monotonic()) / rounds - conversion, _SHORTEST_SECONDS)

    def _begin(self, place: int, seconds: float) -> None:
        contender, again = self._contenders[place], self._begun[place]
        task = FitTask(
            f"refit-{contender.proposal.number:04d}-{again}",
            contender.trial.algorithm,
            _parameters(contender, self._fold_count, self._steps),
            ALL_ROWS,
            self._seed + again * _SEED_STEP,
            max(self._slots // (len(self._contenders) * MAXIMUM_FITS), 1),
            seconds,
            self._device,
        )
        self._begun[place] += 1
        self._running[task.name] = task, place
        self._executor.submit(task)

    def _take(self, ended: tuple[FitTask, FitResult] | None) -> None:
        if ended is None:
            return
        task, result = ended
        _, place = self._running.pop(task.name)
        self._seconds[place] = result.seconds
        if result.error:
            self.failure = result.error
        else:
            paths = estimator_path(self._folder, task), graph_path(self._folder, task)
            self._fits[place].append(Fit(*paths, result.probabilities))

    def _next_again(self, deadline: float) -> int | None:
        """The member whose share a fit is largest, of those that another seed changes and that there is time for."""
        left = deadline - time.monotonic()
        open_ones = [
            place
            for place, contender in enumerate(self._contenders)
            if contender.proposal.algorithm.random
            and self._fits[place]
            and self._begun[place] < MAXIMUM_FITS
            and self._seconds[place] * SAFETY < left
            and self._trees + _trees(contender, self._fold_count, self._steps) <= MAXIMUM_TREES
        ]
        return max(open_ones, key=lambda place: self._weights[place] / (self._begun[place] + 1), default=None)

    @property
    def _trees(self) -> int:
        pairs = zip(self._contenders, self._begun, strict=True)
        return sum(_trees(contender, self._fold_count, self._steps) * begun for contender, begun in pairs)


def _parameters(contender: Contender, fold_count: int, steps: int) -> dict[str, float]:
    parameters = dict(contender.proposal.parameters)
    if contender.proposal.algorithm.boosted:
        parameters["n_estimators"] = max(round(contender.rounds * fold_count / (fold_count - 1) * steps), 1)
        parameters["learning_rate"] /= steps
    elif contender.proposal.algorithm.rounds:
        parameters[contender.proposal.algorithm.rounds] = max(contender.rounds, 1)
    return parameters


def _trees(contender: Contender, fold_count: int, steps: int) -> int:
    """How many trees a fit has; one that boosts grows one a class, where they are more than two."""
    classes = contender.probabilities.shape[1]
    a_round = classes if contender.proposal.algorithm.boosted and classes > 2 else 1
    return round(_parameters(contender, fold_count, steps).get("n_estimators", 0)) * a_round
