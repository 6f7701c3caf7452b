"""The process that trains one AutoML run: `python -m bankmlops.local.training.automl_worker WORKSPACE RUN_ID`.

It outlives the command that submitted the run, keeps its time budget, and writes what it learns into the workspace's records,
where every other process reads it. What others ended (a cancel) it leaves as it is, and ends too.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bankmlops.errors import BankMLOpsError
from bankmlops.local.datasets import Datasets
from bankmlops.local.disk import disk_errors
from bankmlops.local.processes import own_identity
from bankmlops.local.training.automl_continuation import tags_after
from bankmlops.local.training.automl_records import AutoMLRecord, AutoMLRecords, Outcome, child_id
from bankmlops.local.training.automl_runs import KIND, OUTPUTS
from bankmlops.local.training.automl_watch import RunWatch
from bankmlops.local.training.mlflow_runs import Completion
from bankmlops.local.training.mlflow_writer import Ending, MLflowWriter
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import ChildRun, RunStatus

if TYPE_CHECKING:
    from bankmlops.automl import Trial

_MLFLOW_SECONDS = 2.0  # logging the model and the files took 1.0 s on two cores
STOPPED_EARLY_TAG, SAMPLED_ROWS_TAG = "stopped_early", "sampled_rows"
_LEAST_SECONDS, _LEAST_SHARE = 3.0, 0.5  # that a search has, however late it begins; or this share of a budget, if that is less
_SHORTEST_SECONDS = 0.01
_PROGRESS_SECONDS = 0.2


def main() -> int:
    """Exit code 0 when the run completed or was ended by others, 1 when it failed."""
    os.umask(0o077)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    run_id = sys.argv[2]
    workspace = LocalWorkspace(Path(sys.argv[1]))
    records = AutoMLRecords(workspace)
    records.set_process(run_id, own_identity())
    if not records.start(run_id):
        return 0
    return _Training(workspace, records, run_id).run()


class _Training:
    """One run; it is the listener of its own search."""

    def __init__(self, workspace: LocalWorkspace, records: AutoMLRecords, run_id: str) -> None:
        self._workspace = workspace
        self._records = records
        self._record = records.read(run_id)
        self._run_id = run_id
        self._writer = MLflowWriter(workspace, run_id)
        self._watch = RunWatch(records, run_id, workspace.path_of(KIND, run_id))
        self._told = 0.0

    def run(self) -> int:
        self._watch.start()
        try:
            outcome = self._train()
            self._watch.stop()
            return 0 if self._records.complete(self._run_id, outcome) else 1
        except KeyboardInterrupt:
            return self._end(RunStatus.CANCELED, "")
        except BankMLOpsError as error:
            return self._end(RunStatus.FAILED, str(error))
        except Exception as error:
            traceback.print_exc()
            return self._end(RunStatus.FAILED, f"internal error, {type(error).__name__}: {_first_line(error)}; see the run's log")
        finally:
            self._writer.kill()

    def trial_ended(self, trial: Trial) -> None:
        """Write the trial down, for the leaderboard and for MLflow."""
        self._records.put_child(self._run_id, _child(self._run_id, trial), trial.error)
        self._writer.check()

    def progressed(self, fraction: float, message: str) -> None:
        """Write it down, but not more often than a reader looks; a resumed run begins with the share that was spent before."""
        now = time.monotonic()
        if now - self._told >= _PROGRESS_SECONDS:
            self._told = now
            before = self._record.run.fraction
            self._records.set_progress(self._run_id, before + (1 - before) * fraction, message)

    def _train(self) -> Outcome:
        from bankmlops.automl.earlier import read_earlier
        from bankmlops.automl.run import run_automl

        config, datasets = self._record.config, Datasets(self._workspace)
        outputs = self._workspace.path_of(KIND, self._run_id) / OUTPUTS
        earlier = read_earlier(outputs.parent)
        columns = datasets.read(config.dataset)
        validation = datasets.read(config.validation_dataset) if config.validation_dataset else None
        seconds = seconds_left(self._record, datetime.now(UTC))
        with disk_errors(outputs):
            outcome = run_automl(columns, config, outputs, self, seconds=seconds, validation=validation, earlier=earlier)
        winner = _child(self._run_id, outcome.winner)
        tags = {STOPPED_EARLY_TAG: outcome.stopped_early} if outcome.stopped_early else {}
        tags |= {SAMPLED_ROWS_TAG: str(outcome.sampled_rows)} if outcome.sampled_rows else {}
        if earlier:
            tags |= tags_after(earlier, outcome.seconds, winner)
        self._records.add_tags(self._run_id, tags)
        names = self._writer.complete(outputs, Completion(winner, outcome.parity, dict(outcome.input_example), tags))
        return Outcome(winner, outcome.parity, names.run_id, names.model_id)

    def _end(self, status: RunStatus, error: str) -> int:
        """The record last: who sees the run ended finds MLflow so too. A store that refuses as well has its line in the log."""
        self._watch.stop()
        try:
            self._writer.end(Ending(status, error))
        except BankMLOpsError as refusal:
            print(refusal, file=sys.stderr)  # noqa: T201
        finally:
            self._records.end(self._run_id, status, error)
        return 1


def _child(run_id: str, trial: Trial) -> ChildRun:
    return ChildRun(
        id=child_id(run_id, trial.iteration),
        iteration=trial.iteration,
        algorithm=trial.algorithm,
        status=trial.status,
        score=trial.score,
        metrics=trial.metrics,
        parameters=trial.parameters,
        seconds=trial.seconds,
    )


def seconds_left(record: AutoMLRecord, now: datetime) -> float:
    """What the search may use: the budget without what is spent since the run was asked for, and without MLflow's share.

    A resumed run's budget is what was left of it, going by its progress, and counts from when that was asked for.
    """
    budget = record.config.experiment_timeout_minutes * 60 * (1 - record.run.fraction)
    spent = (now - datetime.fromisoformat(record.created)).total_seconds()
    return max(budget - spent - _MLFLOW_SECONDS, min(budget * _LEAST_SHARE, _LEAST_SECONDS), _SHORTEST_SECONDS)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


if __name__ == "__main__":
    sys.exit(main())
