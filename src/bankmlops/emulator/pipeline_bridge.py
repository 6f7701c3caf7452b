"""Carries pipeline runs out: each AutoML step in its turn becomes an AutoML run, and its outputs go to the datastore."""

from __future__ import annotations

import json
import logging

from bankmlops.emulator import artifacts, automl_files, automl_jobs, metrics, runs
from bankmlops.emulator.automl_history import BEST_CHILD_TAG
from bankmlops.emulator.blobs import BlobName
from bankmlops.emulator.datastores import DEFAULT_DATASTORE, get_datastore
from bankmlops.emulator.instance import Emulator, WorkspaceState
from bankmlops.emulator.jasmine import DATA_PREP, SETTINGS, parent_properties
from bankmlops.emulator.pipeline_jobs import PipelineJob, StepJob, active_jobs, finish_job
from bankmlops.emulator.pipeline_runs import find_output, put_output
from bankmlops.errors import BankMLOpsError

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
                automl_jobs.ask_to_cancel(emulator, step.run_id)
            return
        if status != "Completed":
            _end(emulator, job, status, _reason(workspace, step))
            return
        _store_outputs(workspace, job, step)
    _end(emulator, job, "Completed")


def _status(workspace: WorkspaceState, step: StepJob) -> str | None:
    """The step's status; None where it is yet to be begun, or was begun and not handed over to AutoML when the emulator died."""
    if automl_jobs.find_job(workspace.emulator, step.run_id) is None:
        return None
    return str(runs.get_run(workspace, step.run_id)["status"])


def _start_step(workspace: WorkspaceState, job: PipelineJob, step: StepJob) -> None:
    properties = {
        **parent_properties(dict(step.parent)),
        "azureml.runsource": "azureml.StepRun",
        "azureml.nodeid": step.node_id,
        "azureml.moduleid": step.module_id,
        "azureml.moduleName": step.name,
        "azureml.pipelinerunid": job.run_id,
        "StepType": "AutoMLStep",
    }
    changes = {
        "parentRunId": job.run_id,
        "runType": "azureml.StepRun",
        "name": step.name,
        "target": step.parent.get("target"),
        "properties": properties,
        "tags": {
            "azureml.nodeid": step.node_id,
            "azureml.pipeline": job.run_id,
            "iterations": str(step.parent.get("numIterations") or 0),
        },
    }
    runs.upsert_run(workspace, job.experiment, step.run_id, changes)
    automl_jobs.add_job(workspace, job.experiment, step.run_id, properties[SETTINGS], properties[DATA_PREP])


def _store_outputs(workspace: WorkspaceState, job: PipelineJob, step: StepJob) -> None:
    for name, kind in step.outputs.items():
        if find_output(workspace, job.run_id, step.node_id, name) is not None:
            continue
        datastore = step.datastores.get(name) or DEFAULT_DATASTORE
        section = get_datastore(workspace, datastore)["azureStorageSection"]
        path = f"azureml/{step.run_id}/{name}"
        blob = BlobName(section["accountName"], section["containerName"], path)
        if kind == "Metrics":
            workspace.emulator.blobs.put(blob, _metrics_of(workspace, step).encode(), "application/json")
        else:
            best = str(runs.get_run(workspace, step.run_id)["tags"][BEST_CHILD_TAG])
            model = artifacts.get_blob(workspace, artifacts.RUN_ORIGIN, f"dcid.{best}", automl_files.MODEL)
            workspace.emulator.blobs.put_file(blob, model.path)
        put_output(workspace, job.run_id, step.node_id, name, datastore, path)


def _metrics_of(workspace: WorkspaceState, step: StepJob) -> str:
    """Child -> metric -> a list with its value, as AutoML's metrics output has it."""
    children = runs.list_children(workspace, step.run_id)
    found = {child["runId"]: metrics.scalars(workspace, child["runId"]) for child in children}
    return json.dumps({run_id: {name: [value] for name, value in values.items()} for run_id, values in found.items()})


def _reason(workspace: WorkspaceState, step: StepJob) -> str:
    error = (runs.get_run(workspace, step.run_id).get("error") or {}).get("error") or {}
    return f"step {step.name}: {error['message']}" if error.get("message") else ""


def _end(emulator: Emulator, job: PipelineJob, status: str, message: str = "") -> None:
    workspace = job.workspace_state(emulator)
    if message:
        error = {"error": {"code": "UserError", "message": message, "details": []}}
        runs.update_run(workspace, job.run_id, {"error": error})
    runs.set_status(workspace, job.run_id, status)
    finish_job(emulator, job)
