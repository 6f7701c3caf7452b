"""Datasets: a Parquet file in the default datastore, under a folder named by its content, and a tabular dataset on it.

What the type `Dataset` tells beside the table (rows, columns, label, content hash) is a small JSON file next to it, because the
service keeps tags for a dataset and not for each of its versions.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bankmlops.azure.errors import translated
from bankmlops.azure.names import check_name
from bankmlops.azure.parallel import each
from bankmlops.azure.workspace import CREATED_BY, AzureWorkspace
from bankmlops.datasets import check_for_training, freeze, note_decimal_commas, read_table
from bankmlops.errors import NotFoundError
from bankmlops.types import Dataset, DataSource

FOLDER = "bankmlops/datasets"
TABLE = "data.parquet"
DESCRIPTION = "dataset.json"


class Datasets:
    """The workspace's datasets that this package registered; others are left alone."""

    def __init__(self, workspace: AzureWorkspace) -> None:
        self._workspace = workspace
        self._descriptions: dict[str, dict[str, Any]] = {}  # content id -> description; a content id's never changes

    def register(self, name: str, source: DataSource, label_column: str) -> Dataset:
        check_name("dataset name", name)
        table = read_table(source.path)
        check_for_training(table, label_column, str(source.path))
        note_decimal_commas(table, source.path)
        with tempfile.TemporaryDirectory(prefix="bankmlops-dataset-") as folder:
            frozen = freeze(table, Path(folder))
            description = {
                "sha256": frozen.sha256,
                "rows": frozen.rows,
                "columns": list(frozen.columns),
                "label_column": label_column,
                "synthetic": source.synthetic,
                "created": datetime.now(UTC).isoformat(),
            }
            content_id = _content_id(frozen.sha256, label_column)
            existing = self._version_with(name, content_id)
            return existing or self._upload_and_register(name, content_id, Path(folder), description, source.description)

    def get(self, name: str, version: str | None = None) -> Dataset:
        found = self._find(name, version)
        dataset = self._described(found)
        if dataset is None:
            raise NotFoundError(f"dataset {name} was not registered by bankmlops, so its label is unknown: register it anew")
        return dataset

    def list(self) -> Sequence[Dataset]:
        """The newest version of each, by name. (The SDK's mapping has no names when it is iterated, so its entries are read.)"""
        from azureml.core import Dataset as SdkDataset

        registered = SdkDataset.get_all(self._workspace.sdk).registrations
        names = sorted(str(entry.name) for entry in registered if CREATED_BY.items() <= (entry.tags or {}).items())
        return each(self.get, names)

    def tabular(self, dataset: Dataset) -> Any:
        """The SDK's dataset, to train on."""
        return self._find(dataset.name, dataset.version)

    def _find(self, name: str, version: str | None) -> Any:
        from azureml.core import Dataset as SdkDataset

        if version is not None and not (version.isascii() and version.isdigit()):
            raise NotFoundError(f"dataset {name} has no version {version!r}: versions are whole numbers")
        with translated(f"dataset {name}"):
            return SdkDataset.get_by_name(self._workspace.sdk, name, version="latest" if version is None else int(version))

    def _version_with(self, name: str, content_id: str) -> Dataset | None:
        """The version of this name that has this content, newest first."""
        try:
            newest = self._find(name, None)
        except NotFoundError:
            return None
        for version in range(int(newest.version), 0, -1):
            try:
                found = newest if version == int(newest.version) else self._find(name, str(version))
            except NotFoundError:  # a version that somebody deleted
                continue
            if _content_of(found) == content_id:
                return self._described(found)
        return None

    def _upload_and_register(self, name: str, content_id: str, folder: Path, description: dict[str, Any], text: str) -> Dataset:
        from azureml.core import Dataset as SdkDataset

        (folder / DESCRIPTION).write_text(json.dumps(description), encoding="utf-8")
        datastore = self._workspace.sdk.get_default_datastore()
        target = f"{FOLDER}/{content_id}"
        files = [str(folder / DESCRIPTION), str(folder / TABLE)]
        datastore.upload_files(files, target_path=target, overwrite=True, show_progress=False)
        tabular = SdkDataset.Tabular.from_parquet_files((datastore, f"{target}/{TABLE}"), validate=False)
        tags = {key: str(description[key]) for key in ("sha256", "rows", "label_column", "synthetic")} | CREATED_BY
        registered = tabular.register(self._workspace.sdk, name, description=text, tags=tags, create_new_version=True)
        self._descriptions[content_id] = description
        return _dataset(registered, description)

    def _described(self, found: Any) -> Dataset | None:
        content_id = _content_of(found)
        if content_id is None:
            return None
        if content_id not in self._descriptions:
            self._descriptions[content_id] = self._download_description(content_id)
        return _dataset(found, self._descriptions[content_id])

    def _download_description(self, content_id: str) -> dict[str, Any]:
        path = f"{FOLDER}/{content_id}/{DESCRIPTION}"
        with tempfile.TemporaryDirectory(prefix="bankmlops-dataset-") as folder:
            self._workspace.sdk.get_default_datastore().download(folder, prefix=path, overwrite=True, show_progress=False)
            file = Path(folder) / path
            if not file.is_file():
                raise NotFoundError(f"the datastore has lost {path}, so the dataset can't be described: register it anew")
            description = json.loads(file.read_text(encoding="utf-8"))
        return dict(description)


def _content_id(sha256: str, label_column: str) -> str:
    return hashlib.sha256(f"{sha256}\n{label_column}".encode()).hexdigest()


def _content_of(found: Any) -> str | None:
    """The content id in the path that a registered dataset reads; the SDK shows the path in its printed form alone."""
    match = re.search(rf"{FOLDER}/([0-9a-f]{{64}})/", repr(found))
    return match[1] if match else None


def _dataset(found: Any, description: dict[str, Any]) -> Dataset:
    return Dataset(
        name=str(found.name),
        version=str(found.version),
        rows=int(description["rows"]),
        columns=tuple(description["columns"]),
        label_column=str(description["label_column"]),
        sha256=str(description["sha256"]),
        synthetic=bool(description["synthetic"]),
        created=datetime.fromisoformat(description["created"]),
    )
