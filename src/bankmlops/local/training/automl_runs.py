"""AutoML runs on this machine: each is a process of its own that outlives the command that submitted it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from bankmlops.errors import BackendUnavailableError, BankMLOpsError, ConflictError, InvalidRequestError, NotFoundError
from bankmlops.local.datasets import Datasets
from bankmlops.local.disk import disk_errors
from bankmlops.local.json_columns import time_of
from bankmlops.local.log_tail import last_lines
from bankmlops.local.names import check_name
from bankmlops.local.processes import inherited, is_alive, kill_family, start_detached
from bankmlops.local.training import automl_continuation, mlflow_runs
from bankmlops.local.training.automl_records import AutoMLRecord, AutoMLRecords
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import AutoMLConfig, ChildRun, Dataset, Device, Engine, Run, RunStatus
from bankmlops.types.defaults import NO_TAGS

_WORKER = "bankmlops.local.training.automl_worker"
_LIMIT = 100
_START_SECONDS = 120.0
KIND = "automl"
LOG = Path("logs") / "worker.log"
OUTPUTS = "outputs"


class AutoMLRuns:
    """The AutoML runs of one workspace."""

    def __init__(self, workspace: LocalWorkspace, datasets: Datasets) -> None:
        self._workspace = workspace
        self._datasets = datasets
        self._records = AutoMLRecords(workspace)

    def submit(self, config: AutoMLConfig) -> Run:
        """Start a run; raises `InvalidRequestError` for a field that can't serve, `NotFoundError` for an unknown dataset."""
        from bankmlops.automl import validate_config

        check_name("experiment name", config.experiment_name)
        validate_config(config)
        run_id = self._add(config, config.tags)
        self._start_new(run_id)
        return self._records.read(run_id).run

    def _add(self, config: AutoMLConfig, tags: Mapping[str, str]) -> str:
        from bankmlops.automl.devices import resolve_device
        from bankmlops.automl.engines import reachable_address
        from bankmlops.automl.validation import allowed_algorithms

        registered = self._registered(config.dataset)
        validation = self._registered(config.validation_dataset) if config.validation_dataset else None
        run_id = f"AutoML_{uuid4()}"
        synthetic = {"synthetic": "true"} if registered.synthetic else {}
        wanted = config.device if config.engine is Engine.LOCAL else Device.CPU
        device = resolve_device(wanted, allowed_algorithms(config))
        address = reachable_address(config)
        asked = replace(config, dataset=registered, validation_dataset=validation, device=device, address=address)
        self._records.add(run_id, asked, {**tags, **synthetic})
        return run_id

    def continue_from(self, run_id: str, minutes: float, dataset: Dataset | None) -> Run:
        """Start a run of as many minutes that has the trials of an ended one, or their configurations where the data is other.

        Raises `ConflictError` while that one has not ended, and as `submit` does.
        """
        from bankmlops.automl import validate_config

        earlier = self.record(run_id)
        if not earlier.run.status.is_final:
            raise ConflictError(f"run {run_id} is {earlier.run.status}: only one that has ended can be continued")
        config = automl_continuation.continued(earlier.config, minutes, dataset or earlier.config.dataset)
        validate_config(config)
        same_data = automl_continuation.is_same_data(earlier.config, config)
        best_first = self.children(run_id)
        tags = automl_continuation.tags_before(earlier.run, next(iter(best_first), None), same_data=same_data)
        continued = self._add(config, {**earlier.config.tags, **tags})
        folder = self._workspace.folder_of(KIND, continued)
        with disk_errors(folder):
            automl_continuation.hand_over(earlier, best_first, self.folder(run_id), folder, same_data=same_data)
        self._start_new(continued)
        return self._records.read(continued).run

    def resume(self, run_id: str) -> Run:
        """Go on with a run that was canceled or has failed, from its trials on disk, in what is left of its budget.

        Raises `ConflictError` for any other.
        """
        status = self.get(run_id).status
        if not self._records.reopen(run_id):
            raise ConflictError(f"run {run_id} is {status}: only one that was canceled or has failed can be resumed")
        mlflow_runs.forget(self._workspace, run_id)
        try:
            self._start(run_id)
        except BankMLOpsError as error:
            self._records.end(run_id, RunStatus.FAILED, str(error))
            raise
        return self._records.read(run_id).run

    def get(self, run_id: str) -> Run:
        """How it stands; a run whose process died without a word is Failed from then on."""
        record = self._records.read(run_id)
        if record.run.status.is_final or not _has_died(record):
            return record.run
        reason = self._last_words(run_id)
        if self._records.end(run_id, RunStatus.FAILED, f"the training process died: {reason}"):
            self._clear_up(run_id, RunStatus.FAILED)
        return self._records.read(run_id).run

    def list(self, tags: Mapping[str, str] = NO_TAGS) -> Sequence[Run]:
        """The newest 100 runs with these tags, newest first."""
        return tuple(self.get(record.run.id) for record in self._records.newest(_LIMIT, tags))

    def cancel(self, run_id: str) -> None:
        """End it with all it started; a finished run stays as it is."""
        if self.get(run_id).status.is_final:
            return
        try:
            ended = self._records.end(run_id, RunStatus.CANCELED)
        except BackendUnavailableError:  # a full disk takes no word of it, but what runs can be ended all the same
            kill_family(self.folder(run_id))
            raise
        if ended:
            self._clear_up(run_id, RunStatus.CANCELED)

    def children(self, run_id: str) -> Sequence[ChildRun]:
        """The leaderboard."""
        self._records.read(run_id)
        return self._records.children(run_id)

    def trials(self, run_id: str) -> Sequence[ChildRun]:
        """Every trial that has ended, by number, with why it has no score where it has none."""
        self._records.read(run_id)
        told = self._records.trials_after(run_id, 0)
        children = (replace(trial.child, error=trial.error) for trial in told)
        return tuple(sorted(children, key=lambda child: child.iteration))

    def artifacts(self, run_id: str) -> Sequence[str]:
        """The paths of the run's files, relative to its folder, sorted."""
        self._records.read(run_id)
        folder = self.folder(run_id)
        found = (path for root in (OUTPUTS, LOG.parts[0]) for path in (folder / root).rglob("*"))
        return tuple(sorted(path.relative_to(folder).as_posix() for path in found if path.is_file()))

    def download(self, run_id: str, path: str, to: Path) -> Path:
        """Copy one of `artifacts` into the folder `to`, under its own file name."""
        if path not in self.artifacts(run_id):
            raise NotFoundError(f"run {run_id} has no file {path!r}; list its artifacts to choose one")
        with disk_errors(to):
            to.mkdir(parents=True, exist_ok=True)
            return Path(shutil.copyfile(self.folder(run_id) / path, to / Path(path).name))

    def record(self, run_id: str) -> AutoMLRecord:
        """All that is known of a run, after a look whether its process is alive."""
        self.get(run_id)
        return self._records.read(run_id)

    def folder(self, run_id: str) -> Path:
        """Where the run's files are."""
        return self._workspace.path_of(KIND, run_id)

    def bundle(self, run_id: str) -> Path:
        """The exported model of a completed run: `model.onnx`, `features.json`, `model.json`."""
        return self.folder(run_id) / OUTPUTS / "bundle"

    def _registered(self, dataset: Dataset) -> Dataset:
        registered = self._datasets.get(dataset.name, dataset.version)
        if registered.sha256 != dataset.sha256:
            raise InvalidRequestError(
                f"dataset {registered.name!r} has other content here than asked for; read it anew by its name"
            )
        return registered

    def _start(self, run_id: str) -> None:
        """Its libraries have one thread each: several wait for each other in busy loops, and beside other work that is slow."""
        from bankmlops.automl.executor import ONE_THREAD

        folder = self._workspace.folder_of(KIND, run_id)
        with disk_errors(folder):
            (folder / LOG).parent.mkdir(exist_ok=True)
        arguments = [str(self._workspace.folder), run_id]
        process = start_detached(_WORKER, arguments, folder / LOG, folder, {**inherited(), **ONE_THREAD})
        self._records.set_process(run_id, process)

    def _start_new(self, run_id: str) -> None:
        """Start the worker; where it can't be, the run is forgotten and nothing of it is left."""
        try:
            self._start(run_id)
        except BaseException:
            kill_family(self.folder(run_id))
            shutil.rmtree(self.folder(run_id), ignore_errors=True)
            self._records.remove(run_id)
            raise

    def _clear_up(self, run_id: str, status: RunStatus) -> None:
        kill_family(self.folder(run_id))
        mlflow_runs.close(self._workspace, run_id, status)

    def _last_words(self, run_id: str) -> str:
        lines = [line.strip() for line in last_lines(self.folder(run_id) / LOG, 20) if line.strip()]
        return lines[-1] if lines else "it was killed, or the machine was restarted"


def _has_died(record: AutoMLRecord) -> bool:
    if record.process.pid:
        return not is_alive(record.process)
    created = time_of(record.created)
    return created is not None and (datetime.now(UTC) - created).total_seconds() > _START_SECONDS
