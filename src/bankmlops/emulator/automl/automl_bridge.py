"""Carries AutoML runs out on the backend, and shows how they stand in Azure's run history.

Each call of `advance` takes a run one step further from what is written down, so what a killed emulator left behind goes on.
"""

from __future__ import annotations

import logging
import os
import uuid
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bankmlops.emulator.automl import automl_explanations, automl_featurization, automl_files, automl_history
from bankmlops.emulator.automl.automl_jobs import AutoMLJob, active_jobs, change_job, finish_job
from bankmlops.emulator.automl.automl_request import parse_request, passed_over
from bankmlops.emulator.automl.training_data import dataset_file
from bankmlops.emulator.history import runs
from bankmlops.emulator.instance import Emulator
from bankmlops.emulator.storage.table_facts import TableFacts, facts_of
from bankmlops.errors import BackendUnavailableError, BankMLOpsError, NotFoundError
from bankmlops.types import Dataset, DataSource, Run, RunStatus

ASKED_BY = "azureml.run_id"  # the tag by which a run of the backend is found again, if its id was not written down in time
MAXIMUM_ATTEMPTS = 3
MAXIMUM_TRAININGS = max(1, (os.cpu_count() or 1) // 2)
_THIS_PROCESS = uuid.uuid4().hex
_LOG = logging.getLogger(__name__)


def advance(emulator: Emulator) -> None:
    """Take every unfinished run one step further; what goes wrong with one ends that one alone.

    At most `MAXIMUM_TRAININGS` train at once: more would share this machine's cores, and each would find its budget too short.
    """
    for job in active_jobs(emulator):
        try:
            if job.backend_run_id or job.cancel_asked or _is_free(emulator):
                _advance(emulator, job)
        except BackendUnavailableError as error:
            _LOG.warning("run %s: %s; it will be tried again", job.run_id, error)
        except BankMLOpsError as error:
            _fail(emulator, job, str(error))
        except Exception:
            _LOG.exception("run %s ended by an error of the emulator", job.run_id)
            _fail(emulator, job, "the emulator failed to carry the run out; its log says why")


def _is_free(emulator: Emulator) -> bool:
    return sum(bool(job.backend_run_id) for job in active_jobs(emulator)) < MAXIMUM_TRAININGS


def interrupt(emulator: Emulator) -> None:
    """End what the backend trains; the runs begin anew when the emulator starts again."""
    for job in active_jobs(emulator):
        if not job.backend_run_id:
            continue
        try:
            emulator.backend.cancel_run(job.backend_run_id)
            _begin_anew(emulator, job)
        except BankMLOpsError as error:
            _LOG.warning("run %s could not be interrupted: %s", job.run_id, error)


def _begin_anew(emulator: Emulator, job: AutoMLJob) -> None:
    change_job(emulator, job, backend_run_id="", attempt=0, earlier_run_ids=(*job.earlier_run_ids, job.backend_run_id))


def _advance(emulator: Emulator, job: AutoMLJob) -> None:
    if not job.backend_run_id:
        job = _begin(emulator, job)
        if not job.backend_run_id:
            return
    if job.cancel_asked:
        emulator.backend.cancel_run(job.backend_run_id)
    run = emulator.backend.get_run(job.backend_run_id)
    if run.status is RunStatus.FAILED and job.submitter != _THIS_PROCESS:
        # Whatever ended the emulator has ended the training too, more likely than not.
        _begin_anew(emulator, job)
        return
    job = _publish(emulator, job, run)
    if run.status.is_final:
        _finish(emulator, job, run)


def _begin(emulator: Emulator, job: AutoMLJob) -> AutoMLJob:
    workspace = job.workspace_state(emulator)
    if job.attempt and (found := _submitted_before(emulator, job)):
        return change_job(emulator, job, backend_run_id=found, submitter=_THIS_PROCESS)
    if job.cancel_asked:
        automl_history.end(workspace, job.run_id, RunStatus.CANCELED)
        finish_job(emulator, job)
        return job
    if job.attempt >= MAXIMUM_ATTEMPTS:
        _fail(emulator, job, f"the run could not be begun in {MAXIMUM_ATTEMPTS} attempts; the emulator's log says why")
        return job
    job = change_job(emulator, job, attempt=job.attempt + 1)
    automl_history.begin(workspace, job.run_id)
    request = parse_request(job.settings, job.data_prep)
    dataset, facts = _register_dataset(emulator, job, request.dataset_id, request.label_column)
    validation = None
    if request.validation_dataset_id:
        validation, _ = _register_dataset(emulator, job, request.validation_dataset_id, request.label_column)
    job = change_job(emulator, job, facts=facts.to_document())
    automl_history.show_setup(workspace, job.run_id, facts)
    minutes = request.asked_minutes * emulator.time_scale
    warnings = passed_over(job.settings, job.data_prep)
    automl_history.show_terms(workspace, job.run_id, request.asked_minutes, minutes, warnings)
    config = request.config(dataset, job.experiment, emulator.time_scale, validation)
    run = emulator.backend.submit_automl(replace(config, tags={ASKED_BY: job.run_id}))
    return change_job(emulator, job, backend_run_id=run.id, submitter=_THIS_PROCESS)


def _submitted_before(emulator: Emulator, job: AutoMLJob) -> str:
    """The backend's run of an attempt whose end was never written down, or ""."""
    for run in emulator.backend.list_runs({ASKED_BY: job.run_id}):
        if run.status is not RunStatus.CANCELED:
            return run.id
    return ""


def _register_dataset(emulator: Emulator, job: AutoMLJob, dataset_id: str, label_column: str) -> tuple[Dataset, TableFacts]:
    with dataset_file(job.workspace_state(emulator), dataset_id) as path:
        facts = facts_of(path, label_column)
        return emulator.backend.register_dataset(f"azureml-{dataset_id}", DataSource(path), label_column), facts


def _publish(emulator: Emulator, job: AutoMLJob, run: Run) -> AutoMLJob:
    workspace = job.workspace_state(emulator)
    children = emulator.backend.list_children(job.backend_run_id)
    for child in sorted(children, key=lambda each: each.iteration):
        if child.id in job.published:
            continue
        places = {each.iteration: job.published.index(each.id) for each in children if each.id in job.published}
        automl_history.add_child(workspace, job.run_id, len(job.published), child, run.primary_metric, places)
        job = change_job(emulator, job, published=(*job.published, child.id))
    automl_history.show_progress(workspace, job.run_id, run)
    return job


def _finish(emulator: Emulator, job: AutoMLJob, run: Run) -> None:
    workspace = job.workspace_state(emulator)
    if run.status is RunStatus.COMPLETED:
        number = job.published.index(run.best_child_id)
        _store_outputs(emulator, job, f"{job.run_id}_{number}")
        automl_history.show_winner(workspace, job.run_id, number, len(job.published), run)
    automl_history.end(workspace, job.run_id, run.status, run.error)
    finish_job(emulator, job)


def _store_outputs(emulator: Emulator, job: AutoMLJob, best_child_id: str) -> None:
    """Copy the backend's files to the best child, and write those that Azure has beside them."""
    workspace = job.workspace_state(emulator)
    with TemporaryDirectory(dir=emulator.folder, prefix="outputs-") as folder:
        for path in emulator.backend.list_artifacts(job.backend_run_id):
            file = emulator.backend.download_artifact(job.backend_run_id, path, Path(folder))
            automl_history.put_file(workspace, best_child_id, path, file)
    if not automl_history.has_file(workspace, best_child_id, automl_files.MODEL):
        raise NotFoundError(f"the backend's run {job.backend_run_id} left no {automl_files.MODEL}")
    automl_history.describe_model(workspace, best_child_id, _facts(job))
    experiment_id = runs.get_run(workspace, best_child_id)["experimentId"]
    automl_explanations.publish(workspace, best_child_id, _facts(job), experiment_id)
    automl_featurization.publish(workspace, best_child_id)


def _facts(job: AutoMLJob) -> TableFacts:
    assert job.facts is not None, "a run that the backend has is a run whose table was read"  # noqa: S101
    return TableFacts.from_document(job.facts)


def _fail(emulator: Emulator, job: AutoMLJob, message: str) -> None:
    workspace = job.workspace_state(emulator)
    if runs.find_run(workspace, job.run_id) is not None:
        automl_history.end(workspace, job.run_id, RunStatus.FAILED, message)
    finish_job(emulator, job)
