"""An AutoML run from its table to its files, within its seconds: search, ensemble, refit, export."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy

from bankmlops.automl.attempt import Contender
from bankmlops.automl.charts import write_charts
from bankmlops.automl.earlier import EarlierRun, ScoreOverTime
from bankmlops.automl.engines import executor_of
from bankmlops.automl.executor import Executor
from bankmlops.automl.exporting import export_winner
from bankmlops.automl.folds import held_out_folds
from bankmlops.automl.leaderboard import completed_best_first, write_leaderboard, write_metrics
from bankmlops.automl.metrics import LOSSES
from bankmlops.automl.preparation import Preparation
from bankmlops.automl.refit import FINER_STEPS, SAFETY, Member, Refit, refit_seconds
from bankmlops.automl.report import Facts, write_report
from bankmlops.automl.results import Listener, Outcome, Trial
from bankmlops.automl.search import Search
from bankmlops.automl.table import Table, prepare
from bankmlops.automl.trials_on_disk import find_trials, next_number, open_search_folder
from bankmlops.automl.understanding import write_understanding
from bankmlops.automl.validation import validate_config
from bankmlops.automl.winner import (
    Choice,
    Judgement,
    choose_ensemble,
    choose_winner,
    ensemble_of,
    or_the_best_alone,
    stack_of,
)
from bankmlops.errors import RunFailedError
from bankmlops.types import AutoMLConfig, Engine, Parity, RunStatus

Array = numpy.ndarray[Any, Any]

SEARCH_FOLDER = "search"
# What closing takes of a processor: export, parity, explanation, report and files took 1.9 s of a table of 26,000 rows.
_CLOSING_SECONDS = 2.0
_CLOSING_SECONDS_A_MILLION_ROWS = 15.0
_REPORT_SECONDS = 0.5  # of these
_SHORTEST_CLOSING = 0.5  # of these, where that saves the first good model
_FINE_SHARE, _TWICE_SHARE = 0.35, 0.2  # of the budget at most, for fits in small steps, and for two seeds of them
_SHOWN_MEMBERS = 6  # as many members' refits are kept in mind while the search goes on
_GRACE_SECONDS = 3.0
LEAST_SECONDS = 30.0  # that a run has for its first trial, whatever its budget: a model late is better than none
_LATE_SECONDS, _LATE_SHARE = 30.0, 0.05  # for the first fit on all rows, for the same reason: or this share of the budget
_TICK_SECONDS = 0.5


def run_automl(
    columns: Mapping[str, Array],
    config: AutoMLConfig,
    outputs: Path,
    listener: Listener,
    *,
    seconds: float,
    validation: Mapping[str, Array] | None = None,
    earlier: EarlierRun | None = None,
) -> Outcome:
    """Search, and leave the winner's files in `outputs`; see `Outcome`, and docs/automl.md for the files.

    `columns` are those of `datasets.columns_of`, label included; `validation` those of the validation dataset. All of it ends
    within `seconds` of the call; but the first trial has at least `LEAST_SECONDS`. Trials of the same table that an earlier call
    left in the folder `search` beside `outputs`, whatever ended it, count as done, and are told again; `earlier` is the run that
    this one goes on from, if it does. Raises `InvalidRequestError` for a configuration or a table that can't serve,
    `RunFailedError` where no trial finished, `OSError` where the disk refuses.
    """
    started = time.monotonic()
    validate_config(config)
    table = prepare(columns, config, validation)
    folder = outputs.parent / SEARCH_FOLDER
    outputs.mkdir(parents=True, exist_ok=True)
    open_search_folder(folder, table.fingerprint)
    with executor_of(config, folder, table) as executor:
        asked = _Asked(config, outputs, listener, started, seconds, earlier)
        return _Run(asked, table, folder, executor).carry_out()


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a run was asked for, and when: `started` is a moment of `time.monotonic`."""

    config: AutoMLConfig
    outputs: Path
    listener: Listener
    started: float
    seconds: float
    earlier: EarlierRun | None


class _Run:
    def __init__(self, asked: _Asked, table: Table, folder: Path, executor: Executor) -> None:
        self._asked = asked
        self._config = asked.config
        self._outputs = asked.outputs
        self._started = asked.started
        self._seconds = asked.seconds
        self._table = table
        self._folder = folder
        self._executor = executor
        self._slots = asked.config.max_concurrent_iterations or executor.slots
        self._last_tick = 0.0
        self._load = 1.0
        self._stopped_early = ""
        self._trials: list[Trial] = []
        folds = held_out_folds(table.folds)
        self._known = {trial.number for trial in find_trials(folder) if len(trial.results) == len(folds)}
        self._next_number = next_number(folder)
        self._over_time = ScoreOverTime(folder, asked.earlier)

    def carry_out(self) -> Outcome:
        preparing = Preparation(self._table, self._config.dataset, self._outputs, self._started + self._seconds / 2)
        preparing.start()
        search = self._search()
        preparing.finish()
        ensembles = self._ensembles(search)
        winner = choose_winner(search.contenders, ensembles, self._config.primary_metric)
        winner, members = self._refit(winner)
        for ensemble in ensembles:
            self._tell(winner.trial if winner.trial.iteration == ensemble.trial.iteration else ensemble.trial)
        self._say(f"exporting {winner.trial.algorithm}")
        write_charts(self._outputs, self._table.scored_labels, winner.probabilities, self._table.specification.classes)
        model, parity = export_winner(self._outputs, winner, members, self._table)
        trials = completed_best_first(self._trials, self._config.primary_metric)
        write_leaderboard(self._outputs, trials)
        write_metrics(self._outputs, winner.trial)
        self._explain(winner, trials, model, parity, preparing)
        self._clear_up()
        self._over_time.reach(self._spent)
        sampled_rows = len(self._table.labels) if self._table.sampled_from else 0
        return Outcome(trials, winner.trial, parity, self._table.example, self._stopped_early, sampled_rows, self._taken)

    @property
    def _deadline(self) -> float:
        return self._started + self._seconds

    @property
    def _spent(self) -> float:
        return time.monotonic() - self._started

    @property
    def _taken(self) -> float:
        """The seconds of this run, with those before it was resumed."""
        return self._over_time.at(self._spent) - (self._asked.earlier.seconds if self._asked.earlier else 0.0)

    @property
    def _closing_seconds(self) -> float:
        """On a machine that others use, all takes longer, as trials do: `_load` is measured on them."""
        return (_CLOSING_SECONDS + _CLOSING_SECONDS_A_MILLION_ROWS * len(self._table.labels) / 1e6) * self._load

    def _search(self) -> Search:
        search = Search(
            self._executor,
            self._folder,
            self._table,
            self._config,
            slots=self._slots,
            on_trial=self._tell,
            earlier=self._asked.earlier,
        )

        def until() -> float:
            self._load = search.load
            closing = self._closing_seconds * (_SHORTEST_CLOSING if search.awaits_better else 1)
            return self._deadline - closing - self._refit_reserve(search.contenders)

        last_moment = max(self._deadline + _GRACE_SECONDS, self._started + LEAST_SECONDS)
        search.run(until, last_moment, lambda: self._tick(search))
        if search.stopped_early:
            self._stopped_early = search.stopped_early
            self._say(f"stopped early: {search.stopped_early}")
        if not search.contenders:
            reason = search.errors[-1] if search.errors else f"{self._seconds:.0f} s were too short for one; give it more time"
            raise RunFailedError(f"no trial finished: {reason}")
        return search

    def _refit_reserve(self, contenders: Sequence[Contender]) -> float:
        """The seconds that the likely winner's fits on all rows take, in small steps and twice where the budget allows that."""
        best = sorted(contenders, key=lambda contender: contender.loss)[:_SHOWN_MEMBERS]

        def together(steps: int) -> float:
            seconds = [refit_seconds(contender, self._table.fold_count, steps) for contender in best]
            return max(0.0, *seconds, sum(seconds) / self._slots)

        fine = SAFETY * together(FINER_STEPS)
        return max(together(1), min(fine, _FINE_SHARE * self._seconds), min(2 * fine, _TWICE_SHARE * self._seconds))

    def _ensembles(self, search: Search) -> list[Choice]:
        """Those that are asked for, the VotingEnsemble and the StackEnsemble of its members."""
        if not (self._config.enable_voting_ensemble or self._config.enable_stack_ensemble):
            return []
        self._say("blending the ensembles")
        blend = self._voting(search)
        ensembles = []
        if self._config.enable_voting_ensemble:
            ensembles.append(or_the_best_alone(blend, search.contenders, self._judgement))
        stack = self._stack(blend, blend.trial.iteration + len(ensembles)) if self._config.enable_stack_ensemble else None
        return [*ensembles, stack] if stack else ensembles

    def _voting(self, search: Search) -> Choice:
        """The VotingEnsemble of those members whose fits on all rows, in small steps, there is time for."""
        iteration = max(self._next_number, *(trial.iteration + 1 for trial in self._trials))
        choice = choose_ensemble(search.contenders, self._judgement, iteration)
        left = self._deadline - self._closing_seconds - time.monotonic()
        kept = list(choice.members)
        while len(kept) > 1 and self._fine_seconds(kept) > left:
            kept.pop()
        return self._of_those(choice, [member.proposal.number for member in kept])

    def _fine_seconds(self, members: Sequence[Contender]) -> float:
        seconds = [refit_seconds(member, self._table.fold_count, FINER_STEPS) for member in members]
        return SAFETY * max(*seconds, sum(seconds) / self._slots)

    def _stack(self, voting: Choice, iteration: int) -> Choice | None:
        return stack_of(voting, self._judgement, iteration)

    @cached_property
    def _judgement(self) -> Judgement:
        folds = self._table.crossed_folds[self._table.scored]
        return Judgement(self._table.scored_labels, folds, self._config.primary_metric, self._table.positive)

    def _refit(self, winner: Choice) -> tuple[Choice, list[Member]]:
        """Fit the winner's members on all rows. Where one fails or takes too long, the best that the others can make wins."""
        self._say(f"fitting {winner.trial.algorithm} on all rows")
        refit = Refit(
            self._executor,
            self._folder,
            winner.members,
            winner.weights,
            fold_count=self._table.fold_count,
            slots=self._slots,
            seed=self._config.random_seed,
            device=self._config.device,
        )
        late_seconds = max(_LATE_SECONDS, _LATE_SHARE * self._seconds - self._closing_seconds)
        members = refit.run(self._deadline - self._closing_seconds, self._deadline - _REPORT_SECONDS, late_seconds)
        if not members:
            where = f" on the Ray cluster at {self._config.address}" if self._config.engine is Engine.RAY else ""
            raise RunFailedError(f"{winner.trial.algorithm} could not be fitted on all rows{where}: {refit.failure}")
        if len(members) == len(winner.members):
            return winner, members
        fitted = [member.contender for member in members]
        rest = self._rest_of(winner, [contender.proposal.number for contender in fitted])
        chosen = choose_winner(fitted, [rest] if rest else [], self._config.primary_metric)
        kept = {contender.proposal.number for contender in chosen.members}
        return chosen, [member for member in members if member.contender.proposal.number in kept]

    def _rest_of(self, winner: Choice, numbers: Sequence[int]) -> Choice | None:
        rest = self._of_those(winner, numbers)
        return self._stack(rest, winner.trial.iteration) if winner.meta_learner else rest

    def _of_those(self, choice: Choice, numbers: Sequence[int]) -> Choice:
        if len(numbers) == len(choice.members):
            return choice
        pairs = [pair for pair in zip(choice.members, choice.weights, strict=True) if pair[0].proposal.number in numbers]
        members, weights = zip(*pairs, strict=True)
        return ensemble_of(members, weights, self._judgement, choice.trial.iteration)

    def _explain(self, winner: Choice, trials: Sequence[Trial], model: bytes, parity: Parity, preparing: Preparation) -> None:
        self._say("writing the report")
        facts = Facts(
            dataset=self._config.dataset,
            primary_metric=self._config.primary_metric,
            seconds=self._taken,
            earlier_run=self._asked.earlier,
            stopped_early=self._stopped_early,
            given_up=[trial for trial in self._trials if trial.status is not RunStatus.COMPLETED],
            winner=winner.trial,
            trials=trials,
            progress=tuple(self._over_time.points),
            labels=self._table.scored_labels,
            probabilities=winner.probabilities,
            classes=self._table.specification.classes,
            judged=self._table.judged,
            sampled_from=self._table.sampled_from,
            seed=self._config.random_seed,
            guardrails=preparing.guardrails,
            parity=parity,
            worth=preparing.worth,
            ended=datetime.now(UTC),
        )
        if self._config.model_explainability:
            deadline = self._deadline - _REPORT_SECONDS * self._load
            write_understanding(self._outputs, facts, self._table, model, deadline=deadline)
        else:
            write_report(self._outputs, facts)

    def _tell(self, trial: Trial) -> None:
        self._trials.append(trial)
        if trial.status is RunStatus.COMPLETED and trial.iteration not in self._known:
            self._over_time.add(self._spent, trial.score)
        self._asked.listener.trial_ended(trial)

    def _tick(self, search: Search) -> None:
        if time.monotonic() - self._last_tick < _TICK_SECONDS:
            return
        scores = [contender.trial.score for contender in search.contenders]
        best = (min if self._config.primary_metric in LOSSES else max)(scores, default=None)
        shown = f", best {self._config.primary_metric} {best:.4f}" if best is not None else ""
        self._say(f"trial {search.ended + 1}{shown}")

    def _say(self, message: str) -> None:
        self._last_tick = time.monotonic()
        self._over_time.reach(self._spent)
        self._asked.listener.progressed(min((self._last_tick - self._started) / self._seconds, 1.0), message)

    def _clear_up(self) -> None:
        """What refits left is in the outputs now; what trials left stays, for a run that goes on from them."""
        for place in self._folder.glob("refit-*"):
            shutil.rmtree(place, ignore_errors=True)
