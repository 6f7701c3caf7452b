"""The search: which fold of which configuration is fitted next, what is given up early, and when it is over.

A configuration is fitted fold by fold. Where its first folds are clearly worse than those of its learner's best, on the very same
rows, it is given up. Nothing is begun that can't end in what is left: what a learner's fold takes is known from those that ended.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy

from bankmlops.automl.algorithms import Algorithm
from bankmlops.automl.executor import Executor
from bankmlops.automl.metrics import classification_metrics, log_loss
from bankmlops.automl.proposals import USELESS_RATIO, Proposal, Proposer
from bankmlops.automl.results import Trial
from bankmlops.automl.tasks import FitResult, FitTask
from bankmlops.types import RunStatus

Array = numpy.ndarray[Any, Any]

GIVE_UP_RATIO = 1.01  # of the loss on the first folds to that of the learner's best: beyond it a configuration is given up
_POLL_SECONDS = 0.25
# How much of the time that is left boosting may take: the very first trial has to end, so it is kept short.
_FIRST_SHARE, _LATER_SHARE = 0.5, 0.8
_SHORTEST_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Contender:
    """A completed trial with what an ensemble and a refit need: its held-out probabilities, and rounds where it was boosted."""

    trial: Trial
    proposal: Proposal
    probabilities: Array
    loss: float
    rounds: int
    fold_seconds: float


@dataclass
class _Attempt:
    """A configuration in work."""

    proposal: Proposal
    seconds_a_fold: float
    results: dict[int, FitResult] = field(default_factory=dict)
    losses: dict[int, float] = field(default_factory=dict)
    begun: int = 0
    over: bool = False

    @property
    def seconds(self) -> float:
        return sum(result.seconds for result in self.results.values())

    @property
    def loss(self) -> float:
        """The mean log loss of the folds that have ended."""
        return float(numpy.mean(list(self.losses.values())))


class Search:
    """Searches over `labels` [rows] and `folds` [rows] with what `executor` has the table of."""

    def __init__(
        self,
        executor: Executor,
        algorithms: Sequence[Algorithm],
        labels: Array,
        folds: Array,
        *,
        primary_metric: str,
        slots: int,
        seed: int,
        on_trial: Callable[[Trial], None],
    ) -> None:
        self.contenders: list[Contender] = []
        self.errors: list[str] = []
        self._executor = executor
        self._proposer = Proposer(algorithms, seed)
        self._labels = labels
        self._folds = folds
        self._fold_count = int(folds.max()) + 1
        self._primary_metric = primary_metric
        self._slots = slots
        self._seed = seed
        self._on_trial = on_trial
        self._attempts: dict[int, _Attempt] = {}
        self._queue: deque[FitTask] = deque()
        self._tasks: dict[str, tuple[FitTask, _Attempt]] = {}
        self._cost: dict[str, float] = {}  # an algorithm's longest fold so far, in seconds
        self._best: dict[str, _Attempt] = {}  # an algorithm's best completed attempt

    @property
    def ended(self) -> int:
        """How many trials have a row on the leaderboard, or were given up."""
        return sum(attempt.over for attempt in self._attempts.values())

    def run(self, until: Callable[[], float], last_moment: float, on_tick: Callable[[], None]) -> None:
        """Search until the moment (of `time.monotonic`) that `until` names, which it may move while the search goes on.

        Where no trial has ended by then, the one that is furthest is waited for until `last_moment`.
        """
        while True:
            deadline = until()
            now = time.monotonic()
            if now >= deadline and (self.contenders or now >= last_moment):
                break
            self._fill(deadline, deadline if self.contenders else last_moment)
            if not self._tasks:
                break
            self._take(self._executor.next_ended(_POLL_SECONDS))
            on_tick()
        self._stop()

    def _fill(self, deadline: float, end: float) -> None:
        """Keep every slot at work: what is begun has to be done by `end`, and only the very first is begun after `deadline`."""
        while self._executor.running < self._slots:
            begun_until = deadline if self._attempts else end
            task = self._next_fold(end - time.monotonic()) or self._next_attempt(begun_until - time.monotonic())
            if task is None:
                return
            self._executor.submit(task)

    def _next_fold(self, left: float) -> FitTask | None:
        while self._queue:
            task = self._queue.popleft()
            attempt = self._tasks[task.name][1]
            if attempt.over or self._cost.get(task.algorithm, 0.0) > left:
                del self._tasks[task.name]
                continue
            return task
        return None

    def _next_attempt(self, left: float) -> FitTask | None:
        """The first fold of a new configuration, and in the queue as many more as there are slots."""
        proposal = self._proposer.propose(self._within(left)) if left > 0 else None
        if proposal is None:
            return None
        share = _LATER_SHARE if self.contenders else _FIRST_SHARE
        attempt = _Attempt(proposal, max(left * share / self._rounds_of_folds, _SHORTEST_SECONDS))
        self._attempts[proposal.number] = attempt
        self._enqueue(attempt, range(min(self._slots, 2, self._fold_count)))
        return self._queue.popleft()

    @property
    def _rounds_of_folds(self) -> int:
        """How often the slots have to be filled to fit all folds."""
        return math.ceil(self._fold_count / self._slots)

    def _within(self, left: float) -> Mapping[str, bool]:
        """Which algorithms can get all folds done in the time that is left."""
        return {name: cost * self._rounds_of_folds < left for name, cost in self._cost.items()}

    def _enqueue(self, attempt: _Attempt, folds: Sequence[int]) -> None:
        algorithm = attempt.proposal.algorithm
        for fold in folds:
            task = FitTask(
                name=f"trial-{attempt.proposal.number:04d}-{fold}",
                algorithm=algorithm.name,
                parameters=attempt.proposal.parameters,
                fold=fold,
                seed=self._seed,
                seconds=attempt.seconds_a_fold if algorithm.boosted else 0.0,
            )
            attempt.begun += 1
            self._queue.append(task)
            self._tasks[task.name] = (task, attempt)

    def _take(self, ended: tuple[FitTask, FitResult] | None) -> None:
        if ended is None:
            return
        task, result = ended
        _, attempt = self._tasks.pop(task.name)
        if attempt.over:
            return
        attempt.results[task.fold] = result
        if result.error:
            self._give_up(attempt, RunStatus.FAILED, result.error)
            return
        self._cost[task.algorithm] = max(self._cost.get(task.algorithm, 0.0), result.seconds)
        attempt.losses[task.fold] = self._fold_loss(task.fold, result)
        if len(attempt.results) == self._fold_count:
            self._complete(attempt)
        elif self._is_hopeless(attempt):
            self._give_up(attempt, RunStatus.CANCELED, "given up: clearly worse than the best on the same rows")
        elif attempt.begun < self._fold_count and len(attempt.results) == attempt.begun:
            self._enqueue(attempt, range(attempt.begun, self._fold_count))

    def _fold_loss(self, fold: int, result: FitResult) -> float:
        return log_loss(self._labels[self._folds == fold], result.probabilities)

    def _is_hopeless(self, attempt: _Attempt) -> bool:
        best_of_all = min(self._best.values(), key=lambda best: best.loss, default=None)
        if best_of_all is not None and _ratio(attempt, best_of_all) > USELESS_RATIO:
            return True
        best = self._best.get(attempt.proposal.algorithm.name)
        return best is not None and not attempt.proposal.is_start and _ratio(attempt, best) > GIVE_UP_RATIO

    def _complete(self, attempt: _Attempt) -> None:
        attempt.over = True
        self._proposer.learn(attempt.proposal, attempt.loss, attempt.seconds)
        name = attempt.proposal.algorithm.name
        best = self._best.get(name)
        if best is None or attempt.loss < best.loss:
            self._best[name] = attempt
        contender = self._contender(attempt)
        self.contenders.append(contender)
        self._on_trial(contender.trial)

    def _contender(self, attempt: _Attempt) -> Contender:
        probabilities = self._held_out(attempt)
        metrics = classification_metrics(self._labels, probabilities)
        rounds = round(numpy.mean([result.rounds for result in attempt.results.values()]))
        trial = Trial(
            iteration=attempt.proposal.number,
            algorithm=attempt.proposal.algorithm.name,
            status=RunStatus.COMPLETED,
            score=metrics[self._primary_metric],
            metrics=metrics,
            parameters=_shown(attempt.proposal, rounds),
            seconds=attempt.seconds,
        )
        longest = max(result.seconds for result in attempt.results.values())
        return Contender(trial, attempt.proposal, probabilities, attempt.loss, rounds, longest)

    def _held_out(self, attempt: _Attempt) -> Array:
        classes = attempt.results[0].probabilities.shape[1]
        probabilities = numpy.empty((len(self._labels), classes), dtype=numpy.float32)
        for fold, result in attempt.results.items():
            probabilities[self._folds == fold] = result.probabilities
        return probabilities

    def _give_up(self, attempt: _Attempt, status: RunStatus, reason: str) -> None:
        attempt.over = True
        loss = math.nan
        if status is RunStatus.CANCELED:
            best = min(self._best.values(), key=lambda each: each.loss)
            loss = best.loss * _ratio(attempt, best)
        else:
            self.errors.append(f"{attempt.proposal.algorithm.name}: {reason}")
        self._proposer.learn(attempt.proposal, loss, attempt.seconds)
        shown = _shown(attempt.proposal, 0)
        self._on_trial(
            Trial(
                attempt.proposal.number,
                attempt.proposal.algorithm.name,
                status,
                math.nan,
                {},
                shown,
                attempt.seconds,
                error=reason,
            )
        )

    def _stop(self) -> None:
        for task, _ in self._tasks.values():
            self._executor.kill(task)
        self._tasks.clear()
        self._queue.clear()


def _ratio(attempt: _Attempt, best: _Attempt) -> float:
    """The attempt's loss over that of a completed one, on the folds that it has."""
    return sum(attempt.losses.values()) / max(sum(best.losses[fold] for fold in attempt.losses), 1e-12)


def _shown(proposal: Proposal, rounds: int) -> dict[str, str]:
    parameters = dict(proposal.parameters)
    if proposal.algorithm.boosted and rounds:
        parameters["n_estimators"] = rounds
    return {name: f"{value:g}" for name, value in parameters.items()}
