"""Pipeline endpoints: a name and an id that stay, over published pipelines of which one, the default, can be exchanged."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Sequence

from bankmlops.errors import ConflictError, NotFoundError
from bankmlops.local.json_columns import now_text
from bankmlops.local.pipelines.store import ACTIVE, DISABLED, PipelineStore
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import PipelineEndpoint

FIRST_VERSION = "0"


class PipelineEndpoints:
    """Reads and writes the tables `pipeline_endpoints` and `pipeline_endpoint_versions`; any process may.

    The endpoints' URLs are relative: they begin with a slash, and whoever knows the server's address puts it before them.
    """

    def __init__(self, workspace: LocalWorkspace) -> None:
        self._workspace = workspace
        self._pipelines = PipelineStore(workspace)

    def create(self, name: str, pipeline_id: str, description: str = "") -> PipelineEndpoint:
        """Make one whose version 0, the default, is the published pipeline. Raises `ConflictError` where the name is taken."""
        self._pipelines.get(pipeline_id)
        endpoint_id = str(uuid.uuid4())
        try:
            with self._workspace.database() as database:
                database.execute(
                    "INSERT INTO pipeline_endpoints (id, name, status, description, default_version, created)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (endpoint_id, name, ACTIVE, description, FIRST_VERSION, now_text()),
                )
                _add_version(database, endpoint_id, FIRST_VERSION, pipeline_id)
        except sqlite3.IntegrityError:
            raise ConflictError(f"there is a pipeline endpoint {name!r} already; set its default instead") from None
        return self.get(endpoint_id)

    def get(self, endpoint_id: str) -> PipelineEndpoint:
        """One pipeline endpoint. Raises `NotFoundError`."""
        found = [endpoint for endpoint in self.list() if endpoint.id == endpoint_id]
        if not found:
            raise NotFoundError(f"no pipeline endpoint has the id {endpoint_id!r}; `bankmlops pipeline-endpoints list` shows all")
        return found[0]

    def list(self) -> Sequence[PipelineEndpoint]:
        """Every pipeline endpoint, by name."""
        with self._workspace.database() as database:
            rows = database.execute("SELECT * FROM pipeline_endpoints ORDER BY name").fetchall()
            versions = database.execute("SELECT * FROM pipeline_endpoint_versions ORDER BY CAST(version AS INTEGER)").fetchall()
        return [_endpoint(row, versions) for row in rows]

    def set_default(self, endpoint_id: str, pipeline_id: str) -> PipelineEndpoint:
        """Have the endpoint stand for this published pipeline, which becomes a version of it where it is none yet."""
        self._pipelines.get(pipeline_id)
        with self._workspace.lock("pipeline-endpoints"):
            endpoint = self.get(endpoint_id)
            known = next((version for version, behind in endpoint.versions.items() if behind == pipeline_id), None)
            version = known if known is not None else str(len(endpoint.versions))
            with self._workspace.database() as database:
                if known is None:
                    _add_version(database, endpoint_id, version, pipeline_id)
                database.execute("UPDATE pipeline_endpoints SET default_version = ? WHERE id = ?", (version, endpoint_id))
        return self.get(endpoint_id)

    def enable(self, endpoint_id: str) -> None:
        """Take triggers again (idempotent). Raises `NotFoundError`."""
        self._set_status(endpoint_id, ACTIVE)

    def disable(self, endpoint_id: str) -> None:
        """Refuse further triggers (idempotent). Raises `NotFoundError`."""
        self._set_status(endpoint_id, DISABLED)

    def _set_status(self, endpoint_id: str, status: str) -> None:
        self.get(endpoint_id)
        with self._workspace.database() as database:
            database.execute("UPDATE pipeline_endpoints SET status = ? WHERE id = ?", (status, endpoint_id))


def pipeline_of(endpoint: PipelineEndpoint, version: str = "") -> str:
    """The id of the published pipeline behind a version, the default where none is named. Raises `NotFoundError`."""
    wanted = version or endpoint.default_version
    if wanted not in endpoint.versions:
        serve = ", ".join(endpoint.versions)
        raise NotFoundError(f"pipeline endpoint {endpoint.name!r} has no version {wanted!r}; {serve} would serve")
    return endpoint.versions[wanted]


def _add_version(database: sqlite3.Connection, endpoint_id: str, version: str, pipeline_id: str) -> None:
    database.execute(
        "INSERT INTO pipeline_endpoint_versions (endpoint_id, version, pipeline_id) VALUES (?, ?, ?)",
        (endpoint_id, version, pipeline_id),
    )


def _endpoint(row: sqlite3.Row, versions: Sequence[sqlite3.Row]) -> PipelineEndpoint:
    return PipelineEndpoint(
        id=row["id"],
        name=row["name"],
        endpoint=f"/pipeline-endpoints/{row['id']}/submit",
        default_version=row["default_version"],
        versions={each["version"]: each["pipeline_id"] for each in versions if each["endpoint_id"] == row["id"]},
        status=row["status"],
        description=row["description"],
    )
