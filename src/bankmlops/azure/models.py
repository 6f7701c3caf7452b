"""Registered models: the best trial's `model.pkl`, with the AutoML run it came from in its tags.

Azure ML's first version knows no aliases. The tag `champion` is ours: the newest version that was registered from a run bears it,
and loses it to the next. Should a process die between the two, the next registration takes it from every older version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bankmlops.azure.automl_runs import AutoMLRuns
from bankmlops.azure.errors import translated
from bankmlops.azure.names import check_name
from bankmlops.azure.workspace import CREATED_BY, AzureWorkspace
from bankmlops.errors import NotFoundError
from bankmlops.types import Model

CHAMPION = "champion"
RUN_TAG = "automl_run_id"
ALGORITHM_TAG = "algorithm"
MODEL_PATH = "outputs/model.pkl"


class Models:
    """The workspace's models."""

    def __init__(self, workspace: AzureWorkspace, runs: AutoMLRuns) -> None:
        self._workspace = workspace
        self._runs = runs

    def register(self, run_id: str, name: str) -> Model:
        """Make the run's best model a new version and the champion."""
        check_name("model name", name)
        run, best = self._runs.completed(run_id)
        tags = {**CREATED_BY, CHAMPION: "true", RUN_TAG: run_id, ALGORITHM_TAG: best.algorithm}
        if run.record.tags.get("synthetic"):
            tags["synthetic"] = "true"
        path = best.record.properties.get("model_output_path") or MODEL_PATH
        registered = best.sdk.register_model(name, model_path=path, tags=tags)
        self._dethrone(name, int(registered.version))
        return model_of(self.find(name, str(registered.version)))

    def get(self, name: str, version: str | None = None) -> Model:
        return model_of(self.find(name, version))

    def list(self) -> Sequence[Model]:
        """The newest version of each, by name."""
        from azureml.core import Model as SdkModel

        found = SdkModel.list(self._workspace.sdk, latest=True, expand=False)
        return sorted((model_of(model) for model in found), key=lambda model: model.name)

    def find(self, name: str, version: str | None = None) -> Any:
        """The SDK's model, the newest version where none is given. Raises `NotFoundError`."""
        from azureml.core import Model as SdkModel

        if version is not None and not (version.isascii() and version.isdigit()):
            raise NotFoundError(f"model {name} has no version {version!r}: versions are whole numbers")
        which = f"model {name}" if version is None else f"model {name} version {version}"
        with translated(which):
            return SdkModel(self._workspace.sdk, name, version=None if version is None else int(version), expand=False)

    def _dethrone(self, name: str, champion: int) -> None:
        from azureml.core import Model as SdkModel

        for model in SdkModel.list(self._workspace.sdk, name=name, tags=[CHAMPION], expand=False):
            if int(model.version) < champion:
                model.remove_tags([CHAMPION])


def model_of(model: Any) -> Model:
    """The SDK's model as ours; one that this package did not register keeps the run that Azure names."""
    tags: Mapping[str, str] = model.tags or {}
    return Model(
        name=str(model.name),
        version=str(model.version),
        run_id=tags.get(RUN_TAG) or str(model.run_id or ""),
        algorithm=tags.get(ALGORITHM_TAG, ""),
        aliases=(CHAMPION,) if CHAMPION in tags else (),
        tags={key: value for key, value in tags.items() if key not in (CHAMPION, RUN_TAG, ALGORITHM_TAG)},
    )
