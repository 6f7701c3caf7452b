"""The published pipelines of a workspace: immutable by name and version, found by id, never deleted."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from sqlite3 import Row

from bankmlops.errors import ConflictError, NotFoundError
from bankmlops.local.pipeline_documents import content_hash, from_document, to_document
from bankmlops.local.workspace import LocalWorkspace
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
    config: PipelineConfig


class PipelineStore:
    """Reads and writes the table `published_pipelines`; any process may."""

    def __init__(self, workspace: LocalWorkspace) -> None:
        self._workspace = workspace

    def publish(self, config: PipelineConfig, version: str, description: str) -> StoredPipeline:
        """Keep it, or answer the one of this name, version and content; raises `ConflictError` where the content differs."""
        with self._workspace.database() as connection:
            connection.execute(
                "INSERT INTO published_pipelines (id, name, version, status, description, config, content_hash, created)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name, version) DO NOTHING",
                (
                    str(uuid.uuid4()),
                    config.name,
                    version,
                    ACTIVE,
                    description,
                    json.dumps(to_document(config)),
                    content_hash(config),
                    datetime.now(UTC).isoformat(),
                ),
            )
            row = connection.execute(
                "SELECT * FROM published_pipelines WHERE name = ? AND version = ?", (config.name, version)
            ).fetchone()
        if row["content_hash"] != content_hash(config):
            raise ConflictError(
                f"pipeline {config.name!r} version {version!r} is published with other content; publish it as another version"
            )
        return _stored(row)

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
        self.get(pipeline_id)
        with self._workspace.database() as connection:
            connection.execute("UPDATE published_pipelines SET status = ? WHERE id = ?", (DISABLED, pipeline_id))


def _stored(row: Row) -> StoredPipeline:
    return StoredPipeline(
        id=row["id"],
        name=row["name"],
        version=row["version"],
        status=row["status"],
        description=row["description"],
        config=from_document(PipelineConfig, json.loads(row["config"])),
    )
