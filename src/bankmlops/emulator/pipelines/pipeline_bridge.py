"""Carries pipeline runs out: each step in its turn becomes an AutoML run or a script's, and its outputs go to the datastore."""

from __future__ import annotations

import logging

from bankmlops.emulator.automl import automl_jobs
from bankmlops.emulator.automl.jasmine import DATA_PREP, SETTINGS, parent_properties
from bankmlops.emulator.automl.training_outputs import METRICS, metrics_of, model_of
from bankmlops.emulator.history import runs
from bankmlops.emulator.instance import Emulator, WorkspaceState
from bankmlops.emulator.pipelines.pipeline_jobs import PipelineJob, active_jobs, finish_job
from bankmlops.emulator.pipelines.pipeline_runs import find_output, put_output
from bankmlops.emulator.pipelines.pipeline_steps import StepRequest
from bankmlops.emulator.scripts import script_jobs, script_step_runs
from bankmlops.emulator.state import Document
from bankmlops.emulator.storage.blobs import Blob, BlobName
from bankmlops.emulator.storage.containers import container_to_write
from bankmlops.emulator.storage.datastores import DEFAULT_DATASTORE
from bankmlops.errors import BankMLOpsError, InvalidRequestError

_LOG = logging.getLogger(__name__)


def advance(emulator: Emulator) -> None:
    """Take every unfinished pipeline run one step further; what goes wrong with one ends that one alone."""
    for job in active_jobs(emulator):
        try:
            _advance(emulator, job)
        except BankMLOpsError as error:
            _end(emulator, job, "Failed", str(error))
        except Exception:
            _LOG.exception("pipeline run %s ended by an error of the emulator", job.run_id)
            _end(emulator, job, "Failed", "the emulator failed to carry the pipeline run out; its log says why")


def _advance(emulator: Emulator, job: PipelineJob) -> None:
    workspace = job.workspace_state(emulator)
    runs.set_status(workspace, job.run_id, "Running")
    for step in job.steps:
        status = _status(workspace, step)
        if status is None:
            if job.cancel_asked:
                _end(emulator, job, "Canceled")
            else:
                _start_step(workspace, job, step)
            return
        if status not in runs.FINAL:
            if job.cancel_asked:
                _cancel(workspace, step)
            return
        if status != "Completed":
            _end(emulator, job, status, _reason(workspace, step))
            return
        if not _store_outputs(workspace, job, step):
            if job.cancel_asked:
                _end(emulator, job, "Canceled")
            return
    _end(emulator, job, "Completed")


def _status(workspace: WorkspaceState, step: StepRequest) -> str | None:
    """The step's status; None where it is yet to be begun, or was begun and not handed over to AutoML when the emulator died."""
    script = script_step_runs.is_script(step)
    known = script_step_runs.is_started(workspace, step) if script else automl_jobs.find_job(workspace.emulator, step.run_id)
    if not known:
        return None
    return str(runs.get_run(workspace, step.run_id)["status"])


def _cancel(workspace: WorkspaceState, step: StepRequest) -> None:
    if script_step_runs.is_script(step):
        script_jobs.ask_to_cancel(workspace, step.run_id)
    else:
        automl_jobs.ask_to_cancel(workspace.emulator, step.run_id)


def _start_step(workspace: WorkspaceState, job: PipelineJob, step: StepRequest) -> None:
    run = _run_of(job, step)
    if script_step_runs.is_script(step):
        script_step_runs.start(workspace, job, step, run)
        return
    properties = {**parent_properties(dict(step.parent)), **run["properties"]}
    tags = {**run["tags"], "iterations": str(step.parent.get("numIterations") or 0)}
    changes = {**run, "target": step.parent.get("target"), "properties": properties, "tags": tags}
    runs.upsert_run(workspace, job.experiment, step.run_id, changes)
    automl_jobs.add_job(workspace, job.experiment, step.run_id, properties[SETTINGS], properties[DATA_PREP])


def _run_of(job: PipelineJob, step: StepRequest) -> Document:
    """What the run of any step says of itself."""
    tags = {"azureml.nodeid": step.node_id, "azureml.pipeline": job.run_id}
    properties = {
        **tags,
        "azureml.runsource": "azureml.StepRun",
        "azureml.moduleid": step.module_id,
        "azureml.moduleName": step.name,
        "azureml.pipelinerunid": job.run_id,
        "StepType": step.kind,
    }
    return {"parentRunId": job.run_id, "runType": "azureml.StepRun", "name": step.name, "properties": properties, "tags": tags}


def _store_outputs(workspace: WorkspaceState, job: PipelineJob, step: StepRequest) -> bool:
    """Whether all are in the datastore; a model that has to be fitted first is not yet."""
    if script_step_runs.is_script(step):
        script_step_runs.show_outputs(workspace, job, step)
        return True
    for name, kind in step.outputs.items():
        if find_output(workspace, job.run_id, step.node_id, name) is not None:
            continue
        datastore = step.datastores.get(name) or DEFAULT_DATASTORE
        path = f"azureml/{step.run_id}/{name}"
        blob = BlobName(*container_to_write(workspace, datastore), path)
        if kind == METRICS:
            workspace.emulator.blobs.put(blob, metrics_of(workspace, step.run_id).encode(), "application/json")
        elif model := _model(workspace, step, name, kind):
            workspace.emulator.blobs.put_file(blob, model.path)
        else:
            return False
        put_output(workspace, job.run_id, step.node_id, name, datastore, path)
    return True


def _model(workspace: WorkspaceState, step: StepRequest, name: str, kind: str) -> Blob | None:
    try:
        return model_of(workspace, step.run_id, kind)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"step {step.name}: output {name}: {error}") from error


def _reason(workspace: WorkspaceState, step: StepRequest) -> str:
    error = (runs.get_run(workspace, step.run_id).get("error") or {}).get("error") or {}
    return f"step {step.name}: {error['message']}" if error.get("message") else ""


def _end(emulator: Emulator, job: PipelineJob, status: str, message: str = "") -> None:
    workspace = job.workspace_state(emulator)
    if message:
        error = {"error": {"code": "UserError", "message": message, "details": []}}
        runs.update_run(workspace, job.run_id, {"error": error})
    runs.set_status(workspace, job.run_id, status)
    finish_job(emulator, job)
