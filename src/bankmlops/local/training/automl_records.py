"""AutoML runs and their trials as rows of `state.db`: what the worker writes and every other process reads.

A final status is written once: whoever comes second (a cancel, a late worker, a reader that finds
the worker dead) changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from sqlite3 import Row

from bankmlops.errors import NotFoundError
from bankmlops.local.json_columns import from_text, now_text, time_of, to_text
from bankmlops.local.processes import ProcessIdentity
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import AutoMLConfig, ChildRun, Parity, Run, RunStatus
from bankmlops.types.defaults import NO_TAGS

_SMALLER_IS_BETTER = frozenset({"log_loss"})
_FINAL = ", ".join(f"'{status}'" for status in RunStatus if status.is_final)


@dataclass(frozen=True, slots=True)
class AutoMLRecord:
    """One run, with what is for this backend alone: its configuration, its process, its export's parity, its MLflow names."""

    run: Run
    config: AutoMLConfig
    process: ProcessIdentity
    created: str
    parity: Parity | None
    mlflow_run_id: str
    mlflow_model_id: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a completed run leaves."""

    winner: ChildRun
    parity: Parity
    mlflow_run_id: str
    mlflow_model_id: str


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A trial as it was told: its number in the order of telling, why it failed, and when it ended."""

    number: int
    child: ChildRun
    error: str
    ended: datetime


def child_id(run_id: str, iteration: int) -> str:
    """A trial's id, made as Azure makes it."""
    return f"{run_id}_{iteration}"


class AutoMLRecords:
    """The AutoML runs of one workspace."""

    def __init__(self, workspace: LocalWorkspace) -> None:
        self._workspace = workspace

    def add(self, run_id: str, config: AutoMLConfig, tags: Mapping[str, str]) -> None:
        """A run that has not begun."""
        with self._workspace.database() as database:
            database.execute(
                "INSERT INTO automl_runs (id, config, status, tags, created) VALUES (?, ?, ?, ?, ?)",
                (run_id, to_text(config), RunStatus.NOT_STARTED, to_text(tags), now_text()),
            )

    def remove(self, run_id: str) -> None:
        """Forget a run that could not be started."""
        with self._workspace.database() as database:
            database.execute("DELETE FROM automl_runs WHERE id = ?", (run_id,))

    def read(self, run_id: str) -> AutoMLRecord:
        """One run; raises `NotFoundError`."""
        with self._workspace.database() as database:
            row = database.execute(f"{_SELECT} WHERE id = ?", (run_id,)).fetchone()
        if row is None:
            raise NotFoundError(f"there is no AutoML run {run_id!r} in {self._workspace.folder}; list the runs to choose one")
        return _record(row)

    def newest(self, limit: int, tags: Mapping[str, str] = NO_TAGS) -> Sequence[AutoMLRecord]:
        """The newest `limit` runs with these tags, newest first."""
        bears = "EXISTS (SELECT 1 FROM json_each(automl_runs.tags) WHERE key = ? AND value = ?)"
        condition = " AND ".join([bears] * len(tags)) or "TRUE"
        values = [word for pair in tags.items() for word in pair]
        with self._workspace.database() as database:
            rows = database.execute(f"{_SELECT} WHERE {condition} ORDER BY number DESC LIMIT ?", (*values, limit)).fetchall()
        return tuple(_record(row) for row in rows)

    def children(self, run_id: str) -> Sequence[ChildRun]:
        """The completed trials, best score first; the head of a completed run's is its winner."""
        metric = self.read(run_id).config.primary_metric
        with self._workspace.database() as database:
            rows = database.execute(
                "SELECT * FROM automl_trials WHERE run_id = ? AND status = ?", (run_id, RunStatus.COMPLETED)
            ).fetchall()
        return tuple(sorted(map(_child, rows), key=lambda child: _rank(child, metric)))

    def trials_after(self, run_id: str, number: int) -> Sequence[TrialRecord]:
        """The trials that were told after the one of this `number`, failed ones too, in the order in which they were told."""
        with self._workspace.database() as database:
            rows = database.execute(
                "SELECT rowid AS number, * FROM automl_trials WHERE run_id = ? AND rowid > ? ORDER BY rowid", (run_id, number)
            ).fetchall()
        return tuple(_trial(row) for row in rows)

    def set_process(self, run_id: str, process: ProcessIdentity) -> None:
        """Which process works on it; written by the starter and by the worker, whichever is first."""
        with self._workspace.database() as database:
            database.execute(
                "UPDATE automl_runs SET pid = ?, process_created = ?, host = ? WHERE id = ?",
                (process.pid, process.created, process.host, run_id),
            )

    def reopen(self, run_id: str) -> bool:
        """A run that was canceled or failed is to go on: False, and all stays as it is, where it is neither.

        Its time counts from now; `fraction` keeps what was spent before. Ensembles go, since there will be others.
        """
        with self._workspace.database() as database:
            cursor = database.execute(
                "UPDATE automl_runs SET status = ?, created = ?, started = NULL, ended = NULL, error = '', progress = '', pid = 0"
                " WHERE id = ? AND status IN (?, ?)",
                (RunStatus.NOT_STARTED, now_text(), run_id, RunStatus.FAILED, RunStatus.CANCELED),
            )
            if cursor.rowcount != 1:
                return False
            database.execute("DELETE FROM automl_trials WHERE run_id = ? AND algorithm LIKE '%Ensemble'", (run_id,))
        return True

    def start(self, run_id: str) -> bool:
        """The run begins; False where it was ended before."""
        return self._update(run_id, "status = ?, started = ?", (RunStatus.RUNNING, now_text()))

    def add_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """What is known of the run only while it runs, beside the tags that it was asked for with."""
        if tags:
            self._update(run_id, "tags = json_patch(tags, ?)", (to_text(tags),))

    def set_progress(self, run_id: str, fraction: float, message: str) -> None:
        """How far it is, from 0 to 1, and a line for its reader."""
        self._update(run_id, "fraction = ?, progress = ?", (fraction, message))

    def put_child(self, run_id: str, child: ChildRun, error: str = "") -> None:
        """A trial that ended now; one that is told again changes nothing."""
        with self._workspace.database() as database:
            database.execute(
                "INSERT INTO automl_trials"
                " (run_id, iteration, algorithm, status, score, metrics, parameters, seconds, error, ended)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run_id, iteration) DO NOTHING",
                (
                    run_id,
                    child.iteration,
                    child.algorithm,
                    child.status,
                    child.score,
                    to_text(child.metrics),
                    to_text(child.parameters),
                    child.seconds,
                    error,
                    now_text(),
                ),
            )

    def complete(self, run_id: str, outcome: Outcome) -> bool:
        """The run has a winner; False where it was ended before."""
        winner = outcome.winner
        return self._update(
            run_id,
            "status = ?, ended = ?, fraction = 1, best_algorithm = ?, best_child_id = ?, metrics = ?, parity = ?,"
            " mlflow_run_id = ?, mlflow_model_id = ?",
            (
                RunStatus.COMPLETED,
                now_text(),
                winner.algorithm,
                winner.id,
                to_text(winner.metrics),
                to_text(outcome.parity),
                outcome.mlflow_run_id,
                outcome.mlflow_model_id,
            ),
        )

    def end(self, run_id: str, status: RunStatus, error: str = "") -> bool:
        """The run ends without a winner; False where it was ended before."""
        return self._update(run_id, "status = ?, ended = ?, error = ?", (status, now_text(), error))

    def _update(self, run_id: str, assignments: str, values: Sequence[object]) -> bool:
        with self._workspace.database() as database:
            cursor = database.execute(
                f"UPDATE automl_runs SET {assignments} WHERE id = ? AND status NOT IN ({_FINAL})",  # noqa: S608
                (*values, run_id),
            )
        return cursor.rowcount == 1


_SELECT = "SELECT *, (SELECT COUNT(*) FROM automl_trials WHERE run_id = automl_runs.id) AS trials FROM automl_runs"


def _record(row: Row) -> AutoMLRecord:
    config = from_text(AutoMLConfig, row["config"])
    return AutoMLRecord(
        run=_run(row, config),
        config=config,
        process=ProcessIdentity(row["pid"], row["process_created"], row["host"]),
        created=row["created"],
        parity=from_text(Parity, row["parity"]) if row["parity"] else None,
        mlflow_run_id=row["mlflow_run_id"],
        mlflow_model_id=row["mlflow_model_id"],
    )


def _run(row: Row, config: AutoMLConfig) -> Run:
    return Run(
        id=row["id"],
        experiment_name=config.experiment_name,
        status=RunStatus(row["status"]),
        primary_metric=config.primary_metric,
        best_algorithm=row["best_algorithm"],
        best_child_id=row["best_child_id"],
        metrics=from_text(dict[str, float], row["metrics"]),
        tags=from_text(dict[str, str], row["tags"]),
        trials=row["trials"],
        started=time_of(row["started"]),
        ended=time_of(row["ended"]),
        progress=row["progress"],
        fraction=row["fraction"],
        error=row["error"],
        dataset=f"{config.dataset.name}:{config.dataset.version}",
    )


def _child(row: Row) -> ChildRun:
    return ChildRun(
        id=child_id(row["run_id"], row["iteration"]),
        iteration=row["iteration"],
        algorithm=row["algorithm"],
        status=RunStatus(row["status"]),
        score=math.nan if row["score"] is None else row["score"],  # SQLite keeps NaN as NULL
        metrics=from_text(dict[str, float], row["metrics"]),
        parameters=from_text(dict[str, str], row["parameters"]),
        seconds=row["seconds"],
    )


def _rank(child: ChildRun, metric: str) -> tuple[bool, float, float, int]:
    """As `automl.winner.rank` chooses the winner: of equal scores the lower log loss, and then the earlier trial, goes first."""
    error = child.score if metric in _SMALLER_IS_BETTER else -child.score
    return math.isnan(error), error, child.metrics.get("log_loss", math.inf), child.iteration


def _trial(row: Row) -> TrialRecord:
    return TrialRecord(row["number"], _child(row), row["error"], datetime.fromisoformat(row["ended"]))
