"""Writes an AutoML run into MLflow beside the process that trains: a process of its own, started with WORKSPACE RUN_ID.

MLflow takes seconds to import and longer to make a store; here that delays no trial. It reads the trials from the workspace's
records as they end, and one line on its standard input that says how the run ended: its trainer's death is the end of that input.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from bankmlops.errors import BackendUnavailableError, BankMLOpsError
from bankmlops.local.datasets import Datasets
from bankmlops.local.json_columns import from_text, to_text
from bankmlops.local.training.automl_records import AutoMLRecords
from bankmlops.local.training.mlflow_model import warm_up
from bankmlops.local.training.mlflow_runs import Completion, MLflowNames, MLflowRun
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import RunStatus

_MODULE = "bankmlops.local.training.mlflow_writer"
_POLL_SECONDS = 0.5
_END_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended that has no winner."""

    status: RunStatus
    error: str = ""


class MLflowWriter:
    """The trainer's end of it: start the process, and tell it how the run ended."""

    def __init__(self, workspace: LocalWorkspace, run_id: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE, str(workspace.folder), run_id],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def complete(self, outputs: Path, completion: Completion) -> MLflowNames:
        """Log the model and the files; raises `BackendUnavailableError` where the store refused them."""
        answer = self._finish({"outputs": str(outputs), "completion": to_text(completion)})
        return from_text(MLflowNames, answer)

    def end(self, ending: Ending) -> None:
        """End a run without a winner."""
        self._finish({"ending": to_text(ending)})

    def check(self) -> None:
        """Raise `BackendUnavailableError` where the process ended before its time: the store refuses."""
        if self._process.poll() is not None:
            self._finish({})

    def kill(self) -> None:
        """End the process at once; nothing where it has ended."""
        self._process.kill()
        self._process.wait()

    def _finish(self, message: Mapping[str, str]) -> str:
        try:
            answer, _ = self._process.communicate(json.dumps(message) + "\n", timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise BackendUnavailableError(f"MLflow took more than {_END_SECONDS:.0f} s to log the run; try again") from None
        if self._process.returncode == 0:
            return answer
        if not answer:
            raise RuntimeError(f"the MLflow writer ended with code {self._process.returncode}")  # it wrote why to the log
        raise BackendUnavailableError(answer)


def main() -> int:
    """Exit code 0 when the run is written, with MLflow's names on standard output; 1 with one line there that says why not."""
    os.umask(0o077)
    answers = _take_standard_output()
    workspace, run_id = LocalWorkspace(Path(sys.argv[1])), sys.argv[2]
    try:
        answers.write(_write(workspace, run_id))
        return 0
    except BankMLOpsError as error:
        answers.write(str(error))
        return 1
    finally:
        answers.close()


def _take_standard_output() -> IO[str]:
    """Standard output for the answer alone; what libraries print goes where errors go."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _write(workspace: LocalWorkspace, run_id: str) -> str:
    records = AutoMLRecords(workspace)
    run = MLflowRun(workspace, records.read(run_id), Datasets(workspace))
    try:
        warm_up()
        return _follow(run, records, run_id)
    except Exception as error:
        run.end(RunStatus.FAILED, f"not written whole: {error}")  # or MLflow would take it for running ever after
        raise


def _follow(run: MLflowRun, records: AutoMLRecords, run_id: str) -> str:
    message = _write_trials(run, records, run_id)
    if "completion" in message:
        return to_text(run.complete(Path(message["outputs"]), from_text(Completion, message["completion"])))
    ending = from_text(Ending, message["ending"])
    run.end(ending.status, ending.error)
    return ""


def _write_trials(run: MLflowRun, records: AutoMLRecords, run_id: str) -> dict[str, str]:
    """Write the trials as they end, until the trainer says how the run ended; answers what it said."""
    last, message = 0, None
    while message is None:
        message = _read_message()  # before the trials: those that were told before it are written
        for trial in records.trials_after(run_id, last):
            run.add_trial(trial)
            last = trial.number
    return message


def _read_message() -> dict[str, str] | None:
    ready, _, _ = select.select([sys.stdin], [], [], _POLL_SECONDS)
    if not ready:
        return None
    line = sys.stdin.readline()
    died: dict[str, Any] = {"ending": to_text(Ending(RunStatus.FAILED, "the training process died"))}
    return cast(dict[str, str], json.loads(line)) if line else died


if __name__ == "__main__":
    sys.exit(main())
