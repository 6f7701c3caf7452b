"""An AutoML run from its table to its files, within its seconds: search, ensemble, refit, export."""

from __future__ import annotations

import csv
import json
import os
import pickle
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy

from bankmlops.automl import export, pipeline
from bankmlops.automl.bundle import write_bundle
from bankmlops.automl.charts import write_charts
from bankmlops.automl.executor import Executor, processes
from bankmlops.automl.guardrails import examine
from bankmlops.automl.leakage import ColumnWorth
from bankmlops.automl.metrics import LOSSES, error_of
from bankmlops.automl.parity import measure_parity
from bankmlops.automl.refit import Member, refit, refit_seconds
from bankmlops.automl.report import Facts, write_report
from bankmlops.automl.results import Listener, Outcome, Trial
from bankmlops.automl.search import Search
from bankmlops.automl.table import Table, prepare
from bankmlops.automl.trials_on_disk import open_search_folder
from bankmlops.automl.understanding import worth_of_suspects, write_guardrails, write_understanding
from bankmlops.automl.validation import validate_config
from bankmlops.automl.winner import Choice, choose_ensemble, choose_winner, ensemble_of, stack_of
from bankmlops.errors import RunFailedError
from bankmlops.features.background import choose_background
from bankmlops.features.profile import profile_of
from bankmlops.types import AutoMLConfig, Parity, RunStatus

Array = numpy.ndarray[Any, Any]

SEARCH_FOLDER = "search"
_CLOSING_SECONDS = 4.0  # blending, charts, parity, explanation, report and files, for a small table
_REPORT_SECONDS = 0.5  # of these
_SHORTEST_CLOSING = 0.5  # of these, where that saves the first good model
_CLOSING_RESERVE = 2.0  # the load up to which these are enough
_CLOSING_SECONDS_A_MILLION_ROWS = 60.0
_SHOWN_MEMBERS = 3  # as many members' refits are kept in mind while the search goes on
_GRACE_SECONDS = 3.0
LEAST_SECONDS = 30.0  # that a run has for its first trial, whatever its budget: a model late is better than none
_TICK_SECONDS = 0.5


def run_automl(
    columns: Mapping[str, Array],
    config: AutoMLConfig,
    outputs: Path,
    listener: Listener,
    *,
    seconds: float,
    validation: Mapping[str, Array] | None = None,
) -> Outcome:
    """Search, and leave the winner's files in `outputs`; see `Outcome`, and docs/automl.md for the files.

    `columns` are those of `datasets.columns_of`, label included; `validation` those of the validation dataset. All of it ends
    within `seconds` of the call; but the first trial has at least `LEAST_SECONDS`. Trials of the same table that an earlier call
    left in the folder `search` beside `outputs`, whatever ended it, count as done, and are told again. Raises
    `InvalidRequestError` for a configuration or a table that can't serve, `RunFailedError` where no trial finished, `OSError`
    where the disk refuses.
    """
    started = time.monotonic()
    validate_config(config)
    table = prepare(columns, config, validation)
    folder = outputs.parent / SEARCH_FOLDER
    outputs.mkdir(parents=True, exist_ok=True)
    open_search_folder(folder, table.fingerprint)
    with processes(folder, table.matrix, table.labels, table.folds) as executor:
        return _Run(table, config, outputs, folder, listener, executor, started, seconds).carry_out()


class _Run:
    def __init__(
        self,
        table: Table,
        config: AutoMLConfig,
        outputs: Path,
        folder: Path,
        listener: Listener,
        executor: Executor,
        started: float,
        seconds: float,
    ) -> None:
        self._table = table
        self._config = config
        self._outputs = outputs
        self._folder = folder
        self._listener = listener
        self._executor = executor
        self._started = started
        self._seconds = seconds
        self._slots = config.max_concurrent_iterations or len(os.sched_getaffinity(0))
        self._last_tick = 0.0
        self._load = 1.0
        self._trials: list[Trial] = []
        self._progress: list[tuple[float, float]] = []

    def carry_out(self) -> Outcome:
        preparing = _Preparation(self._table, self._outputs, self._started + self._seconds / 2)
        preparing.start()
        search = self._search()
        preparing.join()
        ensembles = self._ensembles(search)
        winner = choose_winner(search.contenders, ensembles, self._config.primary_metric)
        winner, members = self._refit(winner)
        for ensemble in ensembles:
            self._tell(winner.trial if winner.trial.iteration == ensemble.trial.iteration else ensemble.trial)
        self._say(f"exporting {winner.trial.algorithm}")
        write_charts(self._outputs, self._table.scored_labels, winner.probabilities, self._table.specification.classes)
        model, parity = self._export(winner, members)
        trials = _sorted(self._trials, self._config.primary_metric)
        _write_leaderboard(self._outputs, trials)
        _write_metrics(self._outputs, winner.trial)
        self._explain(winner, trials, model, parity, preparing)
        self._clear_up()
        return Outcome(trials, winner.trial, parity, self._table.example)

    @property
    def _deadline(self) -> float:
        return self._started + self._seconds

    @property
    def _closing_seconds(self) -> float:
        """On a machine that others use, all takes longer, as trials do."""
        seconds = _CLOSING_SECONDS + _CLOSING_SECONDS_A_MILLION_ROWS * len(self._table.labels) / 1e6
        return seconds * max(self._load / _CLOSING_RESERVE, 1.0)

    def _search(self) -> Search:
        search = Search(self._executor, self._folder, self._table, self._config, slots=self._slots, on_trial=self._tell)

        def until() -> float:
            self._load = search.load
            best = sorted(search.contenders, key=lambda contender: contender.loss)[:_SHOWN_MEMBERS]
            refits = [refit_seconds(contender, self._table.fold_count) for contender in best]
            longest = max(max(refits, default=0.0), sum(refits) / self._slots)
            closing = self._closing_seconds * (_SHORTEST_CLOSING if search.awaits_better else 1)
            return self._deadline - closing - longest

        last_moment = max(self._deadline + _GRACE_SECONDS, self._started + LEAST_SECONDS)
        search.run(until, last_moment, lambda: self._tick(search))
        if search.stopped_early:
            self._say(f"stopped early: {search.stopped_early}")
        if not search.contenders:
            reason = search.errors[-1] if search.errors else f"{self._seconds:.0f} s were too short for one; give it more time"
            raise RunFailedError(f"no trial finished: {reason}")
        return search

    def _ensembles(self, search: Search) -> list[Choice]:
        """Those that are asked for, the VotingEnsemble and the StackEnsemble of its members."""
        if not (self._config.enable_voting_ensemble or self._config.enable_stack_ensemble):
            return []
        self._say("blending the ensembles")
        voting = self._voting(search)
        ensembles = [voting] if self._config.enable_voting_ensemble else []
        stack = self._stack(voting, voting.trial.iteration + len(ensembles)) if self._config.enable_stack_ensemble else None
        return [*ensembles, stack] if stack else ensembles

    def _voting(self, search: Search) -> Choice:
        """The VotingEnsemble of those members whose fits on all rows there is time for."""
        iteration = max(trial.iteration for trial in self._trials) + 1
        choice = choose_ensemble(search.contenders, self._table.scored_labels, self._config.primary_metric, iteration)
        left = self._deadline - self._closing_seconds - time.monotonic()
        kept = list(choice.members)
        while len(kept) > 1 and sum(refit_seconds(member, self._table.fold_count) for member in kept) / self._slots > left:
            kept.pop()
        return self._of_those(choice, [member.proposal.number for member in kept])

    def _stack(self, voting: Choice, iteration: int) -> Choice | None:
        folds = self._table.crossed_folds[self._table.scored]
        return stack_of(voting, self._table.scored_labels, folds, self._config.primary_metric, iteration)

    def _refit(self, winner: Choice) -> tuple[Choice, list[Member]]:
        """Fit the winner's members on all rows. Where one fails or takes too long, the best that the others can make wins."""
        self._say(f"fitting {winner.trial.algorithm} on all rows")
        members = refit(
            self._executor,
            self._folder,
            winner.members,
            fold_count=self._table.fold_count,
            slots=self._slots,
            seed=self._config.random_seed,
            deadline=self._deadline - self._closing_seconds,
            last_moment=self._deadline - _REPORT_SECONDS,
        )
        if not members:
            raise RunFailedError(f"{winner.trial.algorithm} could not be fitted on all rows; the run's log says why")
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
        return ensemble_of(members, weights, self._table.scored_labels, self._config.primary_metric, choice.trial.iteration)

    def _export(self, winner: Choice, members: Sequence[Member]) -> tuple[bytes, Parity]:
        """Write the scikit-learn pipeline and the service's bundle; answers the graph, and how the two compare on every row."""
        import joblib
        import onnx

        specification = self._table.specification
        graphs = [onnx.load(str(member.graph)) for member in members]
        shape = specification.width, len(specification.classes)
        stacked = winner.meta_learner
        model = export.stack(graphs, stacked, *shape) if stacked else export.merge(graphs, winner.weights, *shape)
        background = choose_background(self._table.scored_matrix, winner.probabilities)
        profile = profile_of(specification, self._table.columns)
        write_bundle(
            self._outputs / "bundle", model, specification, winner.trial.algorithm, self._table.example, background, profile
        )
        names = [member.contender.trial.algorithm for member in members]
        estimators = [joblib.load(member.estimator) for member in members]
        if stacked:
            classifier = pipeline.stacking_classifier(names, estimators, stacked.classifier, specification.classes)
        else:
            classifier = pipeline.voting_classifier(names, estimators, winner.weights, specification.classes)
        step = pipeline.step_name(winner.trial.algorithm)
        # A plain pickle: Azure's SDK loads it without joblib, which reads it as well.
        (self._outputs / "model.pkl").write_bytes(
            pickle.dumps(pipeline.build_pipeline(specification, step, classifier), protocol=5)
        )
        trained = winner.combine([member.probabilities for member in members])
        return model, measure_parity(trained, export.answers(model, self._table.matrix))

    def _explain(self, winner: Choice, trials: Sequence[Trial], model: bytes, parity: Parity, preparing: _Preparation) -> None:
        self._say("writing the report")
        facts = Facts(
            dataset=self._config.dataset,
            primary_metric=self._config.primary_metric,
            seconds=time.monotonic() - self._started,
            winner=winner.trial,
            trials=trials,
            progress=tuple(self._progress),
            labels=self._table.scored_labels,
            probabilities=winner.probabilities,
            classes=self._table.specification.classes,
            judged=self._table.judged,
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
        if trial.status is RunStatus.COMPLETED:
            self._progress.append((time.monotonic() - self._started, trial.score))
        self._listener.trial_ended(trial)

    def _tick(self, search: Search) -> None:
        if time.monotonic() - self._last_tick < _TICK_SECONDS:
            return
        scores = [contender.trial.score for contender in search.contenders]
        best = (min if self._config.primary_metric in LOSSES else max)(scores, default=None)
        shown = f", best {self._config.primary_metric} {best:.4f}" if best is not None else ""
        self._say(f"trial {search.ended + 1}{shown}")

    def _say(self, message: str) -> None:
        self._last_tick = time.monotonic()
        self._listener.progressed(min((self._last_tick - self._started) / self._seconds, 1.0), message)

    def _clear_up(self) -> None:
        """What refits left is in the outputs now; what trials left stays, for a run that goes on from them."""
        for place in self._folder.glob("refit-*"):
            shutil.rmtree(place, ignore_errors=True)


class _Preparation(threading.Thread):
    """What the end of the run needs, made while trials run: imports, guardrails, and what suspect columns are worth."""

    def __init__(self, table: Table, outputs: Path, deadline: float) -> None:
        super().__init__(name="preparation", daemon=True)
        self._table = table
        self._deadline = deadline
        dropped = tuple(name for name in table.specification.dropped if name in table.columns)
        specification = replace(table.specification, dropped=dropped)  # what was asked to be ignored is no finding
        self.guardrails = examine(table.columns, specification, table.labels, numpy.unique(table.folds, return_inverse=True)[1])
        self.worth: tuple[ColumnWorth, ...] = ()
        write_guardrails(outputs, self.guardrails)

    def run(self) -> None:
        """Import first: it is wanted in any case."""
        _import_what_closing_needs()
        self.worth = worth_of_suspects(self.guardrails, self._table, deadline=self._deadline)


def _import_what_closing_needs() -> None:
    """While trials run, so that the end of the run doesn't wait for it."""
    import joblib  # noqa: F401
    import matplotlib.backends.backend_agg
    import matplotlib.figure  # noqa: F401
    import onnx.checker
    import onnx.compose  # noqa: F401
    import onnxruntime  # noqa: F401
    import pandas  # noqa: F401
    import sklearn.compose
    import sklearn.ensemble
    import sklearn.impute  # noqa: F401


def _sorted(trials: Sequence[Trial], primary_metric: str) -> tuple[Trial, ...]:
    completed = [trial for trial in trials if trial.status is RunStatus.COMPLETED]
    return tuple(sorted(completed, key=lambda trial: (error_of(primary_metric, trial.score), trial.iteration)))


def _write_leaderboard(folder: Path, trials: Sequence[Trial]) -> None:
    names = sorted({name for trial in trials for name in trial.metrics})
    with (folder / "leaderboard.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["rank", "iteration", "algorithm", "seconds", *names, "parameters"])
        for rank, trial in enumerate(trials, start=1):
            values = [trial.metrics.get(name, "") for name in names]
            parameters = json.dumps(dict(trial.parameters))
            writer.writerow([rank, trial.iteration, trial.algorithm, round(trial.seconds, 3), *values, parameters])


def _write_metrics(folder: Path, winner: Trial) -> None:
    document = {"algorithm": winner.algorithm, "iteration": winner.iteration, "metrics": dict(winner.metrics)}
    (folder / "metrics.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
