"""The model registry: MLflow's own, in the workspace's store. A version serves the files of its run, which never change.

A version counts from the moment that its last tag is written. What a registration that was killed left before that is invisible,
and the next registration of that name takes it away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bankmlops.errors import ConflictError, NotFoundError
from bankmlops.local.names import check_name
from bankmlops.local.training.automl_records import AutoMLRecord
from bankmlops.local.training.automl_runs import AutoMLRuns
from bankmlops.local.training.mlflow_runs import ALGORITHM_TAG, parity_of, parity_tags
from bankmlops.local.training.mlflow_store import RUN_ID_TAG, mlflow_errors, open_store, store_exists
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import Model, Parity, RunStatus

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
_WHOLE_TAG = "bankmlops.registered"
_PAGE = 1000


class Models:
    """The registered models of one workspace."""

    def __init__(self, workspace: LocalWorkspace, runs: AutoMLRuns) -> None:
        self._workspace = workspace
        self._runs = runs

    def register(self, run_id: str, name: str) -> Model:
        """Make the run's best model a new version, and the champion.

        Raises `ConflictError` while the run is not completed, `RunFailedError` where its export does not repeat the model that
        was trained; then nothing is registered.
        """
        from bankmlops.automl import check_parity

        check_name("model name", name)
        record = self._runs.record(run_id)
        if record.run.status is not RunStatus.COMPLETED or record.parity is None:
            raise ConflictError(
                f"run {run_id} is {record.run.status}: a model can be registered when it is {RunStatus.COMPLETED}"
            )
        check_parity(record.parity)
        with self._workspace.lock("models"), mlflow_errors(self._workspace):
            version = _register(open_store(self._workspace), record, record.parity, name)
        return self.get(name, version)

    def get(self, name: str, version: str | None = None) -> Model:
        """One version, the newest where none is given; raises `NotFoundError`."""
        with self._registry() as client:
            found = _find(client, name, version) if client else None
        if found is None:
            which = f"model {name!r}" if version is None else f"version {version!r} of model {name!r}"
            raise NotFoundError(f"there is no {which} in {self._workspace.folder}; register it, or choose another")
        return found

    def list(self) -> Sequence[Model]:
        """The newest version of each model, by name."""
        with self._registry() as client:
            names = sorted(model.name for model in client.search_registered_models(max_results=_PAGE)) if client else []
            newest = [_find(client, name, None) for name in names if client]
        return tuple(model for model in newest if model)

    def bundle(self, model: Model) -> Path:
        """The folder with what serves this version: `model.onnx`, `features.json` and `model.json`, which names their hashes."""
        return self._runs.bundle(model.run_id)

    @contextmanager
    def _registry(self) -> Iterator[MlflowClient | None]:
        """A client; None where nothing was ever registered, so that to look makes no store."""
        if not store_exists(self._workspace):
            yield None
            return
        with mlflow_errors(self._workspace):
            yield open_store(self._workspace)


def _register(client: MlflowClient, record: AutoMLRecord, parity: Parity, name: str) -> str:
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    _remove_halves(client, name)
    made = client.create_model_version(
        name,
        client.get_logged_model(record.mlflow_model_id).artifact_location,
        run_id=record.mlflow_run_id,
        tags=_tags(record, parity),
        model_id=record.mlflow_model_id,
    )
    version = str(made.version)
    client.set_registered_model_alias(name, CHAMPION, version)
    client.set_model_version_tag(name, version, _WHOLE_TAG, "true")
    return version


def _remove_halves(client: MlflowClient, name: str) -> None:
    for version in _search(client, name):
        if RUN_ID_TAG in version.tags and _WHOLE_TAG not in version.tags:
            client.delete_model_version(name, str(version.version))


def _tags(record: AutoMLRecord, parity: Parity) -> Mapping[str, str]:
    synthetic = {"synthetic": "true"} if record.config.dataset.synthetic else {}
    return {RUN_ID_TAG: record.run.id, ALGORITHM_TAG: record.run.best_algorithm, **parity_tags(parity), **synthetic}


def _find(client: MlflowClient, name: str, version: str | None) -> Model | None:
    """A version that is whole; of those the newest where none is named."""
    number = version or next((str(each.version) for each in _search(client, name) if _WHOLE_TAG in each.tags), "")
    if not number.isdecimal():
        return None
    from mlflow.exceptions import MlflowException

    try:  # a search knows no aliases
        found = client.get_model_version(name, number)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return _model(found) if _WHOLE_TAG in found.tags else None


def _search(client: MlflowClient, name: str) -> Sequence[ModelVersion]:
    """The newest versions, newest first; none for a name that nothing can have."""
    if "'" in name:
        return ()
    return tuple(client.search_model_versions(f"name = '{name}'", max_results=_PAGE, order_by=["version_number DESC"]))


def _model(version: ModelVersion) -> Model:
    return Model(
        name=version.name,
        version=str(version.version),
        run_id=version.tags[RUN_ID_TAG],
        algorithm=version.tags[ALGORITHM_TAG],
        aliases=tuple(sorted(version.aliases)),
        parity=parity_of(version.tags),
        tags=dict(version.tags),
    )
