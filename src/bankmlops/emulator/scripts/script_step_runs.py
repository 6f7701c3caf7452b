"""The runs of a pipeline's script steps: each is a script run with a parent, and its outputs are known before it starts."""

from __future__ import annotations

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.pipelines.pipeline_jobs import PipelineJob
from bankmlops.emulator.pipelines.pipeline_runs import put_output
from bankmlops.emulator.pipelines.pipeline_steps import StepRequest
from bankmlops.emulator.scripts import script_jobs
from bankmlops.emulator.scripts.script_runs import start_script


def is_script(step: StepRequest) -> bool:
    """Whether the step is a script, not a training."""
    return bool(step.configuration)


def is_started(workspace: WorkspaceState, step: StepRequest) -> bool:
    """Whether the step's script was handed over to who carries scripts out."""
    return script_jobs.is_known(workspace, step.run_id)


def start(workspace: WorkspaceState, job: PipelineJob, step: StepRequest) -> None:
    """Have the step's script carried out."""
    properties = {
        "azureml.runsource": "azureml.StepRun",
        "azureml.nodeid": step.node_id,
        "azureml.moduleid": step.module_id,
        "azureml.moduleName": step.name,
        "azureml.pipelinerunid": job.run_id,
        "azureml.pipeline": job.run_id,
        "StepType": step.kind,
    }
    changes = {
        "parentRunId": job.run_id,
        "runType": "azureml.StepRun",
        "name": step.name,
        "properties": properties,
        "tags": {"azureml.nodeid": step.node_id, "azureml.pipeline": job.run_id},
    }
    start_script(workspace, job.experiment, step.run_id, step.snapshot_id, dict(step.configuration), changes)


def show_outputs(workspace: WorkspaceState, job: PipelineJob, step: StepRequest) -> None:
    """Write down where the outputs are."""
    for name, path in step.outputs.items():
        put_output(workspace, job.run_id, step.node_id, name, step.datastores[name], path)
