"""The runs of a pipeline's script steps: each is a script run with a parent, and its outputs are known before it starts."""

from __future__ import annotations

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.pipelines.pipeline_jobs import PipelineJob
from bankmlops.emulator.pipelines.pipeline_runs import find_output, put_output
from bankmlops.emulator.pipelines.pipeline_steps import StepRequest
from bankmlops.emulator.scripts import script_jobs
from bankmlops.emulator.scripts.script_runs import start_script
from bankmlops.emulator.scripts.script_steps import with_saved_datasets
from bankmlops.emulator.state import Document


def is_script(step: StepRequest) -> bool:
    """Whether the step is a script, not a training."""
    return bool(step.configuration)


def is_started(workspace: WorkspaceState, step: StepRequest) -> bool:
    """Whether the step's script was handed over to who carries scripts out."""
    return script_jobs.is_known(workspace, step.run_id)


def start(workspace: WorkspaceState, job: PipelineJob, step: StepRequest, changes: Document) -> None:
    """Have the step's script carried out, as a run that has `changes` of its own."""
    configuration = with_saved_datasets(workspace, dict(step.configuration))
    start_script(workspace, job.experiment, step.run_id, step.snapshot_id, configuration, changes)


def show_outputs(workspace: WorkspaceState, job: PipelineJob, step: StepRequest) -> None:
    """Write down where the outputs are."""
    for name, path in step.outputs.items():
        if find_output(workspace, job.run_id, step.node_id, name) is None:
            put_output(workspace, job.run_id, step.node_id, name, step.datastores[name], path)
