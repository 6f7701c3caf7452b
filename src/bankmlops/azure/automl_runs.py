"""AutoML runs on Azure: submitted to a cluster, read back by their id alone, whoever submitted them and in whatever process."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bankmlops.azure.automl_config import check_config, run_tags, sdk_config
from bankmlops.azure.automl_trials import Trial, ended_trials, finished_trials, leaderboard, plain_metrics
from bankmlops.azure.computes import Computes
from bankmlops.azure.datasets import Datasets
from bankmlops.azure.names import check_name
from bankmlops.azure.parallel import each
from bankmlops.azure.progress import fraction_of, progress_of
from bankmlops.azure.run_records import RunRecord, find_run, newest_runs, record_of, text_of
from bankmlops.azure.workspace import AzureWorkspace
from bankmlops.errors import ConflictError, InvalidRequestError, NotFoundError
from bankmlops.types import AutoMLConfig, ChildRun, Dataset, Run, RunStatus
from bankmlops.types.defaults import NO_TAGS

RUN_TYPE = "automl"
STEP_RUN_TYPE = "azureml.StepRun"
BEST_CHILD_TAG = "automl_best_child_run_id"


@dataclass(frozen=True, slots=True)
class AutoMLRun:
    """A run of the SDK, its record, and its finished trials."""

    sdk: Any
    record: RunRecord
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial | None:
        """The trial that Azure calls the best, or that has the best score where Azure has not said."""
        named = text_of(self.record.tags, BEST_CHILD_TAG)
        found = next((trial for trial in self.trials if trial.record.id == named), None)
        scored = [trial for trial in self.trials if not math.isnan(trial.score)]
        return found or max(scored, key=lambda trial: trial.score, default=None)


class AutoMLRuns:
    """The workspace's AutoML runs."""

    def __init__(self, workspace: AzureWorkspace, datasets: Datasets, computes: Computes) -> None:
        self._workspace = workspace
        self._datasets = datasets
        self._computes = computes

    def submit(self, config: AutoMLConfig) -> Run:
        """Start a run; raises `InvalidRequestError` for a field that can't serve, `NotFoundError` for an unknown dataset."""
        from azureml.core import Experiment

        with tempfile.TemporaryDirectory(prefix="bankmlops-automl-") as folder:
            prepared = self.prepare(config, Path(folder))
            tags = dict(run_tags(config, config.dataset.synthetic))
            experiment = Experiment(self._workspace.sdk, config.experiment_name)
            submitted = experiment.submit(prepared, tags=tags, show_output=False)
        return self.get(str(submitted.id))

    def prepare(self, config: AutoMLConfig, folder: Path) -> Any:
        """The SDK's configuration, with the dataset found and the cluster found or made. Raises as `submit` does."""
        check_name("experiment name", config.experiment_name)
        check_config(config)
        tabular = self._tabular(config.dataset)
        validation = self._tabular(config.validation_dataset) if config.validation_dataset else None
        compute = self._computes.find_or_create(config.compute_target)
        return sdk_config(config, tabular, compute, self._computes.maximum_nodes(compute), folder, validation)

    def _tabular(self, dataset: Dataset) -> Any:
        registered = self._datasets.get(dataset.name, dataset.version)
        if registered.sha256 != dataset.sha256:
            raise InvalidRequestError(
                f"dataset {registered.name!r} has other content here than asked for; read it anew by its name"
            )
        return self._datasets.tabular(registered)

    def get(self, run_id: str) -> Run:
        return self._described(self.find(run_id))

    def list(self, tags: Mapping[str, str] = NO_TAGS) -> Sequence[Run]:
        """The newest 100 runs with these tags, newest first; those of pipelines' steps are found by id, and not here."""
        records = newest_runs(self._workspace.sdk, RUN_TYPE, tags)
        return each(lambda record: self.get(record.id), records)

    def cancel(self, run_id: str) -> None:
        """Ask Azure to end it; a finished run stays as it is."""
        run = self.find(run_id)
        if not run.record.status.is_final:
            self._sdk_automl(run).cancel()

    def resume(self, run_id: str) -> Run:
        """Azure goes on with no run that has ended: raises `InvalidRequestError`; `ConflictError` where it needs no resuming."""
        status = self.find(run_id).record.status
        if status not in (RunStatus.FAILED, RunStatus.CANCELED):
            raise ConflictError(f"run {run_id} is {status}: only one that was canceled or has failed can be resumed")
        raise InvalidRequestError(f"run {run_id}: Azure can't go on with a run that has ended; submit it anew")

    def continue_from(self, run_id: str) -> Run:
        """Azure's trials are no start for another run: raises `InvalidRequestError`; `ConflictError` where it has not ended."""
        status = self.find(run_id).record.status
        if not status.is_final:
            raise ConflictError(f"run {run_id} is {status}: only one that has ended can be continued")
        raise InvalidRequestError(f"run {run_id}: Azure can't go on from the trials of another run; submit one with more time")

    def children(self, run_id: str) -> Sequence[ChildRun]:
        run = self.find(run_id)
        return leaderboard(run.trials, text_of(run.record.properties, "primary_metric"))

    def trials(self, run_id: str) -> Sequence[ChildRun]:
        """Every trial that has ended, by number; Azure says no more of one that has no score than its status."""
        run = self.find(run_id)
        found = leaderboard(ended_trials(run.sdk), text_of(run.record.properties, "primary_metric"))
        return sorted(found, key=lambda child: child.iteration)

    def artifacts(self, run_id: str) -> Sequence[str]:
        """The files of the run and of its best trial, under their own paths, sorted; of two with one path the trial's counts."""
        return sorted(self._owners(self.find(run_id)))

    def download(self, run_id: str, path: str, to: Path) -> Path:
        """Copy one of `artifacts` into the folder `to`, under its own file name."""
        owner = self._owners(self.find(run_id)).get(path)
        if owner is None:
            raise NotFoundError(f"run {run_id} has no file {path!r}; list its artifacts to choose one")
        return download_file(owner, path, to)

    def find(self, run_id: str) -> AutoMLRun:
        """The run with its finished trials. Raises `NotFoundError`."""
        sdk = find_run(self._workspace.sdk, run_id)
        record = record_of(sdk)
        if not _is_automl(record):
            raise NotFoundError(f"run {run_id} is no AutoML run; list the runs to choose one")
        return AutoMLRun(sdk, record, finished_trials(sdk))

    def completed(self, run_id: str) -> tuple[AutoMLRun, Trial]:
        """A run and its best trial. Raises `ConflictError` while the run is not completed."""
        run = self.find(run_id)
        if run.record.status is not RunStatus.COMPLETED:
            raise ConflictError(f"run {run_id} is {run.record.status}: only a completed run has a model to register")
        if run.best is None:
            raise ConflictError(f"run {run_id} completed without a finished trial, so it has no model")
        return run, run.best

    def _owners(self, run: AutoMLRun) -> Mapping[str, Any]:
        """Which of the SDK's runs holds a path."""
        holders = [run.sdk, run.best.sdk] if run.best else [run.sdk]
        return {str(path): holder for holder in holders for path in holder.get_file_names()}

    def _sdk_automl(self, run: AutoMLRun) -> Any:
        """The run as the SDK's AutoML class, which a pipeline's step is not by itself."""
        from azureml.train.automl.run import AutoMLRun as SdkAutoMLRun

        return SdkAutoMLRun(run.sdk.experiment, run.record.id)

    def _described(self, run: AutoMLRun) -> Run:
        record, best = run.record, run.best
        completed = record.status is RunStatus.COMPLETED
        return Run(
            id=record.id,
            experiment_name=record.experiment_name,
            status=record.status,
            primary_metric=text_of(record.properties, "primary_metric"),
            best_algorithm=best.algorithm if best and completed else "",
            best_child_id=best.record.id if best and completed else "",
            metrics=plain_metrics(best.sdk.get_metrics()) if best and completed else {},
            tags=record.tags,
            trials=len(run.trials),
            started=record.started,
            ended=record.ended if record.status.is_final else None,
            progress=progress_of(record, run.trials),
            fraction=fraction_of(record),
            error=record.error if record.status is RunStatus.FAILED else "",
            portal_url=str(run.sdk.get_portal_url()),
        )


def download_file(run: Any, path: str, to: Path) -> Path:
    """One file of a run of the SDK, put in place when it is whole."""
    to.mkdir(parents=True, exist_ok=True)
    name = Path(path).name
    with tempfile.TemporaryDirectory(prefix=".download-", dir=to) as folder:
        partial = Path(folder) / name
        run.download_file(path, output_file_path=str(partial))
        return partial.replace(to / name)


def _is_automl(record: RunRecord) -> bool:
    """A pipeline's AutoML step has the type of any step, and the settings of an AutoML run."""
    return record.type == RUN_TYPE or (record.type == STEP_RUN_TYPE and "AMLSettingsJsonString" in record.properties)
