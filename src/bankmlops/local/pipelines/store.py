"""The published pipelines of a workspace: immutable by name and version, found by id, never deleted."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from sqlite3 import Row
from typing import Any

from bankmlops.errors import ConflictError, NotFoundError
from bankmlops.local.pipelines.documents import content_hash, from_document, to_document
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.pipelines import Pipeline, from_config, graph_of
from bankmlops.types import PipelineConfig

ACTIVE, DISABLED = "Active", "Disabled"


@dataclass(frozen=True, slots=True)
class StoredPipeline:
    """A published pipeline, without the address that it has only while a control server serves it."""

    id: str
    name: str
    version: str
    status: str
    description: str
    pipeline: Pipeline


class PipelineStore:
    """Reads and writes the table `published_pipelines`; any process may."""

    def __init__(self, workspace: LocalWorkspace) -> None:
        self._workspace = workspace

    def publish(self, pipeline: PipelineConfig | Pipeline, version: str, description: str) -> StoredPipeline:
        """Keep it, or answer the one of this name, version and content; raises `ConflictError` where the content differs."""
        graph = graph_of(pipeline)
        with self._workspace.database() as connection:
            connection.execute(
                "INSERT INTO published_pipelines (id, name, version, status, description, config, content_hash, created)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name, version) DO NOTHING",
                (
                    str(uuid.uuid4()),
                    graph.name,
                    version,
                    ACTIVE,
                    description,
                    json.dumps(to_document(graph)),
                    content_hash(graph),
                    datetime.now(UTC).isoformat(),
                ),
            )
            row = connection.execute(
                "SELECT * FROM published_pipelines WHERE name = ? AND version = ?", (graph.name, version)
            ).fetchone()
        stored = _stored(row)
        if content_hash(stored.pipeline) != content_hash(graph):
            raise ConflictError(
                f"pipeline {graph.name!r} version {version!r} is published with other content; publish it as another version"
            )
        return stored

    def get(self, pipeline_id: str) -> StoredPipeline:
        """One published pipeline. Raises `NotFoundError`."""
        with self._workspace.database() as connection:
            row = connection.execute("SELECT * FROM published_pipelines WHERE id = ?", (pipeline_id,)).fetchone()
        if row is None:
            raise NotFoundError(f"no published pipeline has the id {pipeline_id!r}; `bankmlops pipelines list` shows all")
        return _stored(row)

    def list(self) -> Sequence[StoredPipeline]:
        """Every published pipeline, newest first."""
        with self._workspace.database() as connection:
            rows = connection.execute("SELECT * FROM published_pipelines ORDER BY created DESC, rowid DESC").fetchall()
        return [_stored(row) for row in rows]

    def disable(self, pipeline_id: str) -> None:
        """Refuse further triggers (idempotent). Raises `NotFoundError`."""
        self._set_status(pipeline_id, DISABLED)

    def enable(self, pipeline_id: str) -> None:
        """Take triggers again (idempotent). Raises `NotFoundError`."""
        self._set_status(pipeline_id, ACTIVE)

    def _set_status(self, pipeline_id: str, status: str) -> None:
        self.get(pipeline_id)
        with self._workspace.database() as connection:
            connection.execute("UPDATE published_pipelines SET status = ? WHERE id = ?", (status, pipeline_id))


def _stored(row: Row) -> StoredPipeline:
    return StoredPipeline(
        id=row["id"],
        name=row["name"],
        version=row["version"],
        status=row["status"],
        description=row["description"],
        pipeline=_pipeline(json.loads(row["config"])),
    )


def _pipeline(document: Mapping[str, Any]) -> Pipeline:
    """What was published as the simple form, by an earlier version, is read as the graph that it stands for."""
    if "automl" in document:
        return from_config(from_document(PipelineConfig, document))
    return from_document(Pipeline, document)
