"""Fits the models of trials that somebody has asked for: one after the other, each in a process of its own that waits for no run.

It has one thread of the processor, and that only while nobody else wants it: a run that trains keeps its budget.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bankmlops.emulator.automl import automl_history, automl_jobs, trial_model_jobs
from bankmlops.emulator.automl.automl_files import MODEL
from bankmlops.emulator.automl.automl_jobs import AutoMLJob
from bankmlops.emulator.automl.automl_request import parse_request
from bankmlops.emulator.automl.training_data import dataset_file
from bankmlops.emulator.automl.trial_model_jobs import TrialModelJob
from bankmlops.emulator.instance import Emulator, WorkspaceState
from bankmlops.emulator.launch import FAMILY
from bankmlops.emulator.storage.table_facts import TableFacts
from bankmlops.errors import BackendUnavailableError, BankMLOpsError, InvalidRequestError, NotFoundError
from bankmlops.types import ChildRun

FITTING_SECONDS = 900.0
_POLL_SECONDS = 0.1
_MODULE = "bankmlops.emulator.automl.trial_model_fit"
_KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", FAMILY)
_LOG = logging.getLogger(__name__)


class TrialModelKeeper:
    """The fits of one emulator. Used by one thread, which lives as long as the emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def advance(self) -> None:
        """Fit every model that is asked for; what the emulator's end interrupts is fitted after its next start."""
        for job in trial_model_jobs.active_jobs(self._emulator):
            if not self._emulator.is_at_work:
                return
            try:
                self._fit(job)
            except BackendUnavailableError as error:
                _LOG.warning("the model of run %s is tried again: %s", job.run_id, error)
            except BankMLOpsError as error:
                trial_model_jobs.finish_job(self._emulator, job, str(error))
            except Exception:
                _LOG.exception("the model of run %s was ended by an error of the emulator", job.run_id)
                trial_model_jobs.finish_job(self._emulator, job, "the emulator failed to fit it; its log says why")

    def _fit(self, job: TrialModelJob) -> None:
        training = _training_of(self._emulator, job)
        folder = self._emulator.folder / "trial-models" / job.run_id
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        try:
            model = self._fit_in(folder, job, training)
            if model is not None:
                _keep(job.workspace_state(self._emulator), job.run_id, model, training)
                trial_model_jobs.finish_job(self._emulator, job)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _fit_in(self, folder: Path, job: TrialModelJob, training: AutoMLJob) -> Path | None:
        """The model's file; None where the emulator ends before it is there."""
        workspace, request = job.workspace_state(self._emulator), parse_request(training.settings, training.data_prep)
        with ExitStack() as tables:
            names = {"training": request.dataset_id, "validation": request.validation_dataset_id}
            paths = {name: str(tables.enter_context(dataset_file(workspace, each))) for name, each in names.items() if each}
            order = {
                "settings": training.settings,
                "data_prep": training.data_prep,
                "time_scale": self._emulator.time_scale,
                "tables": paths,
                **trials_of(self._emulator, job, training),
            }
            return self._run(folder, order)

    def _run(self, folder: Path, order: Mapping[str, Any]) -> Path | None:
        (folder / "order.json").write_text(json.dumps(order), "utf-8")
        process = _start(folder)
        until = time.monotonic() + FITTING_SECONDS
        try:
            while (code := process.poll()) is None:
                if not self._emulator.is_at_work:
                    return None
                if time.monotonic() > until:
                    raise InvalidRequestError(f"it could not be fitted within {FITTING_SECONDS:.0f} s")
                time.sleep(_POLL_SECONDS)
        finally:
            process.kill()
            process.wait()
        if code:
            raise InvalidRequestError(_last_line(folder / "log"))
        return folder / "model.pkl"


def _keep(workspace: WorkspaceState, run_id: str, model: Path, training: AutoMLJob) -> None:
    if automl_history.has_file(workspace, run_id, MODEL):
        return  # it has won meanwhile: the run's own model stays
    assert training.facts is not None, "a run with a trial is a run whose table was read"  # noqa: S101
    automl_history.describe_model(workspace, run_id, TableFacts.from_document(training.facts))
    automl_history.put_file(workspace, run_id, MODEL, model)


def _training_of(emulator: Emulator, job: TrialModelJob) -> AutoMLJob:
    training = automl_jobs.find_job(emulator, job.parent)
    if training is None or job.number >= len(training.published):
        raise NotFoundError("no AutoML run of this emulator has such a trial")
    return training


def trials_of(emulator: Emulator, job: TrialModelJob, training: AutoMLJob) -> dict[str, Any]:
    """Which iteration of the backend's run is meant, and what the backend tells of each. Raises `NotFoundError`."""
    meant = training.published[job.number]
    for run_id in filter(None, (training.backend_run_id, *training.earlier_run_ids)):
        children = emulator.backend.list_children(run_id)
        for found in children:
            if found.id == meant:
                return {"iteration": found.iteration, "trials": [_configuration(child) for child in children]}
    raise NotFoundError("the run that trained it is gone")


def _configuration(child: ChildRun) -> dict[str, Any]:
    return {"iteration": child.iteration, "algorithm": child.algorithm, "parameters": dict(child.parameters)}


def _start(folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE, str(folder), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**{name: os.environ[name] for name in _KEPT if name in os.environ}, "HOME": str(folder), "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )


def _last_line(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").strip().splitlines() or ["the process that fitted it died without a word"]
    return lines[-1][:1000]
