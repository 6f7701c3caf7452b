"""Runs of pipelines, however they were started: read from run history, where each step is a child of the pipeline's run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bankmlops.azure.automl_runs import AutoMLRuns
from bankmlops.azure.errors import translated
from bankmlops.azure.parallel import each
from bankmlops.azure.pipelines import METRICS_OUTPUT, MODEL_OUTPUT, STEP
from bankmlops.azure.run_records import RunRecord, children_of, find_run, newest_runs, record_of, text_of
from bankmlops.azure.workspace import AzureWorkspace
from bankmlops.errors import NotFoundError
from bankmlops.types import PipelineRun, RunStatus, StepRun

RUN_TYPE = "azureml.PipelineRun"


class PipelineRuns:
    """The workspace's pipeline runs."""

    def __init__(self, workspace: AzureWorkspace, automl: AutoMLRuns) -> None:
        self._workspace = workspace
        self._automl = automl

    def get(self, run_id: str) -> PipelineRun:
        """How it stands; the outputs are there when it has completed."""
        run, record = self._find(run_id)
        children = [child for _, child in children_of(run)]
        steps = tuple(_step(child) for child in children)
        return PipelineRun(
            id=record.id,
            experiment_name=record.experiment_name,
            status=record.status,
            steps=steps,
            pipeline_id=text_of(record.properties, "azureml.pipelineid"),
            outputs=self._outputs(run, steps) if record.status is RunStatus.COMPLETED else {},
            started=record.started or record.created,
            ended=record.ended if record.status.is_final else None,
            error=_error(record, children) if record.status is RunStatus.FAILED else "",
        )

    def list(self) -> Sequence[PipelineRun]:
        """The newest 100 runs, newest first."""
        records = newest_runs(self._workspace.sdk, RUN_TYPE)
        return each(lambda record: self.get(record.id), records)

    def cancel(self, run_id: str) -> None:
        """Ask Azure to end it and its steps; a finished run stays as it is."""
        run, record = self._find(run_id)
        if not record.status.is_final:
            self._sdk_pipeline_run(run).cancel()

    def _find(self, run_id: str) -> tuple[Any, RunRecord]:
        run = find_run(self._workspace.sdk, run_id)
        record = record_of(run)
        if record.type != RUN_TYPE:
            raise NotFoundError(f"run {run_id} is no pipeline run; list the pipeline runs to choose one")
        return run, record

    def _sdk_pipeline_run(self, run: Any) -> Any:
        from azureml.pipeline.core import PipelineRun as SdkPipelineRun

        return SdkPipelineRun(run.experiment, run.id)

    def _outputs(self, run: Any, steps: Sequence[StepRun]) -> Mapping[str, str]:
        """Where the step left its model and metrics, and what the AutoML run found; the run's id is what registering it wants."""
        found = {name: self._location(run, name) for name in (MODEL_OUTPUT, METRICS_OUTPUT)}
        step = next((step for step in steps if step.name == STEP), None)
        if step is None:
            return found
        trained = self._automl.get(step.run_id)
        told = {
            "automl_run_id": trained.id,
            "best_algorithm": trained.best_algorithm,
            "primary_metric": trained.primary_metric,
            "score": repr(trained.metrics[trained.primary_metric]) if trained.primary_metric in trained.metrics else "",
        }
        return {**told, **found}

    def _location(self, run: Any, name: str) -> str:
        """Such as "workspaceblobstore/azureml/0c3a/best_model"."""
        with translated(f"output {name} of run {run.id}"):
            output = self._sdk_pipeline_run(run).get_pipeline_output(name)
        return f"{output.datastore.name}/{output.path_on_datastore}"


def _step(record: RunRecord) -> StepRun:
    name = record.name or text_of(record.properties, "azureml.moduleName") or record.id
    return StepRun(name=name, status=record.status, seconds=record.seconds, run_id=record.id)


def _error(record: RunRecord, children: Sequence[RunRecord]) -> str:
    """One line; the step at fault first."""
    failed = next((child for child in children if child.status is RunStatus.FAILED), None)
    if failed is None:
        return record.error or "Azure gave no reason"
    return f"{_step(failed).name}: {failed.error or record.error or 'Azure gave no reason'}"
