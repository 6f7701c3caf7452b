"""Registered tables: frozen Parquet versions in folders named by their content, and a row of `state.db` for each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from sqlite3 import Row
from typing import TYPE_CHECKING
from uuid import uuid4

from bankmlops.errors import ConflictError, InvalidRequestError, NotFoundError
from bankmlops.local.disk import disk_errors
from bankmlops.local.json_columns import now_text, time_of
from bankmlops.local.names import check_name
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import Dataset, DataSource

if TYPE_CHECKING:
    from pyarrow import Schema, Table

    from bankmlops.datasets import FrozenTable
    from bankmlops.datasets.columns import Array

_VERSION_LENGTH = 12


class Datasets:
    """The datasets of one workspace."""

    def __init__(self, workspace: LocalWorkspace) -> None:
        self._workspace = workspace

    def register(self, name: str, source: DataSource, label_column: str) -> Dataset:
        """Make the content an immutable version, or answer the version that has this content already.

        Raises `InvalidRequestError` for a table that can't be trained on, `ConflictError` where the same content is registered
        under this name with another label column. A failure leaves nothing behind.
        """
        from bankmlops.datasets import check_for_training, note_decimal_commas, read_table

        check_name("dataset name", name)
        table = read_table(source.path)
        check_for_training(table, label_column, source.path.name)
        note_decimal_commas(table, source.path)
        return self.keep(name, table, source, label_column)

    def keep(self, name: str, table: Table, source: DataSource, label_column: str) -> Dataset:
        """Make a table that was read and checked a version, as `register` does; raises `ConflictError` as it does."""
        from bankmlops.datasets import freeze

        check_name("dataset name", name)
        waiting = self._workspace.folder_of("datasets", f"new-{uuid4().hex}")
        try:
            with disk_errors(waiting):
                frozen = freeze(table, waiting)
            return self._add(name, source, label_column, frozen, waiting)
        finally:
            shutil.rmtree(waiting, ignore_errors=True)  # moved away where all went well

    def get(self, name: str, version: str | None = None) -> Dataset:
        """One version, the newest where none is given; raises `NotFoundError`."""
        wanted = "" if version is None else " AND version = ?"
        parameters = (name,) if version is None else (name, version)
        with self._workspace.database() as database:
            row = database.execute(
                f"SELECT * FROM datasets WHERE name = ?{wanted} ORDER BY number DESC LIMIT 1",  # noqa: S608
                parameters,
            ).fetchone()
        if row is None:
            which = f"dataset {name!r}" if version is None else f"version {version!r} of dataset {name!r}"
            raise NotFoundError(f"there is no {which} in {self._workspace.folder}; register it, or choose another")
        return _dataset(row)

    def list(self) -> Sequence[Dataset]:
        """The newest version of each, by name."""
        with self._workspace.database() as database:
            rows = database.execute(
                "SELECT * FROM datasets WHERE number IN (SELECT MAX(number) FROM datasets GROUP BY name) ORDER BY name"
            ).fetchall()
        return tuple(_dataset(row) for row in rows)

    def parquet(self, dataset: Dataset) -> Path:
        """The file that holds exactly this version."""
        return self._workspace.path_of("datasets", dataset.sha256) / "data.parquet"

    def read(self, dataset: Dataset) -> dict[str, Array]:
        """This version as `bankmlops.datasets.columns_of` answers it; raises `InvalidRequestError` for a damaged file."""
        from pyarrow import parquet

        from bankmlops.datasets import columns_of

        path = self.parquet(dataset)
        with _damages(path):
            return columns_of(parquet.read_table(path))

    def schema(self, dataset: Dataset) -> Schema:
        """The columns' names and types; raises `InvalidRequestError` for a damaged file."""
        from pyarrow import parquet

        path = self.parquet(dataset)
        with _damages(path):
            return parquet.read_schema(path)

    def _add(self, name: str, source: DataSource, label_column: str, frozen: FrozenTable, waiting: Path) -> Dataset:
        version = frozen.sha256[:_VERSION_LENGTH]
        with self._workspace.lock("datasets"):
            with suppress(NotFoundError):
                return _with_label(self.get(name, version), label_column)
            folder = self._workspace.path_of("datasets", frozen.sha256)
            if not folder.exists():  # the same content may have another name already
                with disk_errors(folder):
                    waiting.rename(folder)
            columns = tuple(frozen.columns)
            self._insert(Dataset(name, version, frozen.rows, columns, label_column, frozen.sha256, source.synthetic))
        return self.get(name, version)

    def _insert(self, dataset: Dataset) -> None:
        with self._workspace.database() as database:
            database.execute(
                "INSERT INTO datasets (name, version, rows, columns, label_column, sha256, synthetic, created)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    dataset.name,
                    dataset.version,
                    dataset.rows,
                    json.dumps(dataset.columns),
                    dataset.label_column,
                    dataset.sha256,
                    int(dataset.synthetic),
                    now_text(),
                ),
            )


@contextmanager
def _damages(path: Path) -> Iterator[None]:
    from pyarrow import ArrowException

    try:
        with disk_errors(path):
            yield
    except ArrowException as error:
        reason = str(error).partition("\n")[0]
        raise InvalidRequestError(f"{path} is damaged ({reason}); register the dataset in another workspace") from error


def _with_label(dataset: Dataset, label_column: str) -> Dataset:
    if dataset.label_column != label_column:
        raise ConflictError(
            f"dataset {dataset.name!r} has this content already, with the label {dataset.label_column!r}; "
            f"register it under another name to predict {label_column!r}"
        )
    return dataset


def _dataset(row: Row) -> Dataset:
    return Dataset(
        name=row["name"],
        version=row["version"],
        rows=row["rows"],
        columns=tuple(json.loads(row["columns"])),
        label_column=row["label_column"],
        sha256=row["sha256"],
        synthetic=bool(row["synthetic"]),
        created=time_of(row["created"]),
    )
