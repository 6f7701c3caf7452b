"""The search: which fold of which configuration is fitted next, what is given up early, and when it is over.

A configuration is fitted fold by fold. Where its first folds are clearly worse than those of its learner's best, on the very same
rows, it is given up. Nothing is begun that can't end in what is left: what a learner's fold takes is known from those that ended.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy

from bankmlops.automl.algorithms import START_ORDER, algorithm_named
from bankmlops.automl.attempt import Attempt, Contender, contender_of, given_up, ratio
from bankmlops.automl.earlier import EarlierRun
from bankmlops.automl.executor import Executor
from bankmlops.automl.folds import held_out_folds
from bankmlops.automl.metrics import log_loss
from bankmlops.automl.proposals import USELESS_RATIO, Proposal, Proposer
from bankmlops.automl.results import Trial
from bankmlops.automl.stopping import Stopping
from bankmlops.automl.table import Table
from bankmlops.automl.tasks import FitResult, FitTask
from bankmlops.automl.trials_on_disk import EndedTrial, FoundTrial, find_trials, lost_trials, next_number, task_name, write_end
from bankmlops.automl.validation import allowed_algorithms
from bankmlops.types import AutoMLConfig, RunStatus

Array = numpy.ndarray[Any, Any]

# Of the loss on the first folds to that of the learner's best. What is further behind is given up; the more folds it has, the
# less of the gap is chance.
GIVE_UP_RATIOS = 1.012, 1.009, 1.007, 1.006
_POLL_SECONDS = 0.25
# How much of the time that is left boosting may take: the very first trial has to end, so it is kept short.
_FIRST_SHARE, _LATER_SHARE = 0.5, 0.8
_SHORTEST_SECONDS = 0.2
_LOAD_RESULTS = 8
_LOAD_SECONDS = 1.0  # counted as undisturbed, so that what takes milliseconds says little


class Search:
    """Searches over `table`, which `executor` has too; what trials leave is in `folder`."""

    def __init__(
        self,
        executor: Executor,
        folder: Path,
        table: Table,
        config: AutoMLConfig,
        *,
        slots: int,
        on_trial: Callable[[Trial], None],
        earlier: EarlierRun | None = None,
    ) -> None:
        self.contenders: list[Contender] = []
        self.errors: list[str] = []
        self.stopped_early = ""
        self._executor = executor
        self._folder = folder
        self._table = table
        self._folds = held_out_folds(table.folds)
        self._config = config
        self._proposer = Proposer([algorithm_named(name) for name in allowed_algorithms(config)], config.random_seed)
        if earlier and not earlier.same_data:
            for name in reversed(dict.fromkeys(START_ORDER)):
                self._proposer.begin_with(name, earlier.starts_of(name))
        self._stopping = Stopping(config, table.scored_labels)
        self._slots = slots
        self._on_trial = on_trial
        self._attempts: dict[int, Attempt] = {}
        self._lost = 0  # trials of an earlier search that left nothing
        self._queue: deque[FitTask] = deque()
        self._tasks: dict[str, tuple[FitTask, Attempt]] = {}
        self._cost: dict[str, float] = {}  # an algorithm's longest fold so far, in seconds
        self._best: dict[str, Attempt] = {}  # an algorithm's best completed attempt
        self._lately: deque[FitResult] = deque(maxlen=_LOAD_RESULTS)

    @property
    def ended(self) -> int:
        """How many trials have a row on the leaderboard, or were given up."""
        return sum(attempt.over for attempt in self._attempts.values())

    @property
    def load(self) -> float:
        """How much longer than its processor time a fit takes of late: 1 on a machine with a free core for each slot."""
        seconds = sum(result.seconds for result in self._lately)
        cpu_seconds = sum(result.cpu_seconds for result in self._lately)
        return max((seconds + _LOAD_SECONDS) / (cpu_seconds + _LOAD_SECONDS), 1.0)

    @property
    def awaits_better(self) -> bool:
        """Whether a trial is under way that is so much better than all that ended that no blend would take one of those."""
        best = self._best_of_all
        under_way = [attempt for attempt in self._attempts.values() if attempt.losses and not attempt.over]
        return best is not None and any(ratio(attempt, best) * USELESS_RATIO < 1 for attempt in under_way)

    def run(self, until: Callable[[], float], last_moment: float, on_tick: Callable[[], None]) -> None:
        """Search until the moment (of `time.monotonic`) that `until` names, which it may move while the search goes on.

        What an earlier search left in the folder counts as done. Where no trial has ended by then, the one that is furthest is
        waited for until `last_moment`.
        """
        self._proposer.number_from(next_number(self._folder))
        trials = find_trials(self._folder)
        lost = lost_trials(self._folder, trials)
        self._lost = len(lost)
        self.errors += [trial.error for trial in lost]
        for found in trials:
            self._recall(found, until() - time.monotonic())
        while not self._is_over(until(), last_moment):
            self._fill(until(), until() if self.contenders else last_moment)
            if not self._tasks:
                break
            self._take(self._executor.next_ended(_POLL_SECONDS))
            self._end_those_over_their_time()
            on_tick()
        self._stop()

    def _is_over(self, deadline: float, last_moment: float) -> bool:
        now = time.monotonic()
        if now >= deadline and (self.contenders or now >= last_moment):
            return True
        self.stopped_early = self._stopping.reason(self.contenders, self.ended)
        return bool(self.stopped_early)

    def _fill(self, deadline: float, end: float) -> None:
        """Keep every slot at work: what is begun has to be done by `end`, and only the very first is begun after `deadline`."""
        while self._executor.running < self._slots:
            begun_until = deadline if self._attempts else end
            task = self._next_fold(end - time.monotonic()) or self._next_attempt(begun_until - time.monotonic())
            if task is None:
                return
            self._tasks[task.name][1].began()
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
        if left <= 0 or len(self._attempts) + self._lost >= (self._config.iterations or math.inf):
            return None
        proposal = self._proposer.propose(self._within(left))
        if proposal is None:
            return None
        attempt = Attempt(proposal, self._seconds_a_fold(left))
        self._attempts[proposal.number] = attempt
        self._enqueue(attempt, self._folds[: self._folds_at_once(proposal)])
        return self._queue.popleft()

    def _folds_at_once(self, proposal: Proposal) -> int:
        """One, where that may be enough to give it up: a learner whose cost is not known yet may be slow and useless."""
        unknown = self._best and proposal.algorithm.name not in self._cost
        return 1 if unknown else min(self._slots, 2)

    def _seconds_a_fold(self, left: float) -> float:
        """How long boosting may go on."""
        share = _LATER_SHARE if self.contenders else _FIRST_SHARE
        return max(min(left, self._iteration_seconds) * share / self._rounds_of_folds, _SHORTEST_SECONDS)

    @property
    def _iteration_seconds(self) -> float:
        minutes = self._config.iteration_timeout_minutes
        return math.inf if minutes is None else minutes * 60

    @property
    def _rounds_of_folds(self) -> int:
        """How often the slots have to be filled to fit all folds."""
        return math.ceil(len(self._folds) / self._slots)

    def _within(self, left: float) -> Mapping[str, bool]:
        """Which algorithms can get all folds done in the time that is left."""
        return {name: cost * self._rounds_of_folds < left for name, cost in self._cost.items()}

    def _enqueue(self, attempt: Attempt, folds: Sequence[int]) -> None:
        algorithm = attempt.proposal.algorithm
        for fold in folds:
            task = FitTask(
                name=task_name(attempt.proposal.number, fold),
                algorithm=algorithm.name,
                parameters=attempt.proposal.parameters,
                fold=fold,
                seed=self._config.random_seed,
                seconds=attempt.seconds_a_fold if algorithm.rounds else 0.0,
                device=self._config.device,
            )
            attempt.asked += 1
            self._queue.append(task)
            self._tasks[task.name] = (task, attempt)

    def _take(self, ended: tuple[FitTask, FitResult] | None) -> None:
        if ended is None:
            return
        task, result = ended
        _, attempt = self._tasks.pop(task.name)
        self._lately.append(result)
        if attempt.over:
            return
        self._note(attempt, task.fold, result)
        if result.error:
            self._fail(attempt, result.error)
        elif len(attempt.results) == len(self._folds):
            self._complete(attempt)
        elif self._is_hopeless(attempt):
            self._give_up(attempt, RunStatus.CANCELED, "given up: clearly worse than the best on the same rows")
        elif len(attempt.results) == attempt.asked:
            self._enqueue(attempt, [fold for fold in self._folds if fold not in attempt.results])

    def _note(self, attempt: Attempt, fold: int, result: FitResult) -> None:
        attempt.results[fold] = result
        if not result.error:
            name = attempt.proposal.algorithm.name
            self._cost[name] = max(self._cost.get(name, 0.0), result.seconds)
            attempt.losses[fold] = log_loss(self._table.labels[self._table.folds == fold], result.probabilities)

    def _recall(self, found: FoundTrial, left: float) -> None:
        """Take a trial of an earlier search for what it was; one that had not ended goes on with the folds that it lacks."""
        algorithm = algorithm_named(found.algorithm)
        proposal = self._proposer.recall(found.number, algorithm, found.parameters)
        attempt = self._attempts[found.number] = Attempt(proposal, self._seconds_a_fold(left))
        for fold, result in found.results.items():
            self._note(attempt, fold, result)
        error = next((result.error for result in found.results.values() if result.error), "")
        if error:
            self._fail(attempt, error)
        elif found.end:
            self._give_up(attempt, found.end.status, found.end.error)
        elif len(attempt.results) == len(self._folds):
            self._complete(attempt)
        else:
            attempt.asked = len(attempt.results)
            self._enqueue(attempt, [fold for fold in self._folds if fold not in attempt.results])

    def _is_hopeless(self, attempt: Attempt) -> bool:
        best_of_all = self._best_of_all
        if best_of_all is not None and ratio(attempt, best_of_all) > USELESS_RATIO:
            return True
        best = self._best.get(attempt.proposal.algorithm.name)
        limit = GIVE_UP_RATIOS[min(len(attempt.losses), len(GIVE_UP_RATIOS)) - 1]
        return best is not None and not attempt.proposal.is_start and ratio(attempt, best) > limit

    @property
    def _best_of_all(self) -> Attempt | None:
        return min(self._best.values(), key=lambda best: best.loss, default=None)

    def _end_those_over_their_time(self) -> None:
        for attempt in [each for each in self._attempts.values() if not each.over and each.age > self._iteration_seconds]:
            minutes = self._config.iteration_timeout_minutes
            self._give_up(attempt, RunStatus.CANCELED, f"killed: over the iteration_timeout_minutes of {minutes:g}")
            self.errors.append(f"{attempt.proposal.algorithm.name}: over the iteration_timeout_minutes of {minutes:g}")

    def _complete(self, attempt: Attempt) -> None:
        attempt.over = True
        self._proposer.learn(attempt.proposal, attempt.loss)
        name = attempt.proposal.algorithm.name
        best = self._best.get(name)
        if best is None or attempt.loss < best.loss:
            self._best[name] = attempt
        contender = contender_of(attempt, self._table, self._config.primary_metric)
        self.contenders.append(contender)
        self._on_trial(contender.trial)

    def _fail(self, attempt: Attempt, reason: str) -> None:
        self.errors.append(f"{attempt.proposal.algorithm.name}: {reason}")
        self._give_up(attempt, RunStatus.FAILED, reason)

    def _give_up(self, attempt: Attempt, status: RunStatus, reason: str) -> None:
        """What it would have scored is guessed from the folds that it has, if it has any; what of it still runs is killed."""
        attempt.over = True
        self._drop_tasks(attempt)
        best = self._best_of_all
        guessed = status is RunStatus.CANCELED and best is not None and attempt.losses
        self._proposer.learn(attempt.proposal, best.loss * ratio(attempt, best) if guessed and best else math.nan)
        write_end(self._folder, EndedTrial(attempt.proposal.number, status, reason))
        self._on_trial(given_up(attempt, status, reason))

    def _drop_tasks(self, attempt: Attempt) -> None:
        for task in [task for task, owner in self._tasks.values() if owner is attempt]:
            self._executor.kill(task)
            del self._tasks[task.name]
        self._queue = deque(task for task in self._queue if task.name in self._tasks)

    def _stop(self) -> None:
        for task, _ in self._tasks.values():
            self._executor.kill(task)
        self._tasks.clear()
        self._queue.clear()
