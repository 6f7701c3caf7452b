"""Pipeline endpoints as a person has them, from any process: with whole addresses, and each change in the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bankmlops.local.control.audit import AuditLog
from bankmlops.local.control.files import HOST, ControlFiles
from bankmlops.local.pipelines.endpoints import PipelineEndpoints
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.pipelines.validation import check_text
from bankmlops.types import PipelineEndpoint


class AddressedEndpoints:
    """The pipeline endpoints of one workspace. Raises as `Backend` says."""

    def __init__(self, workspace: LocalWorkspace) -> None:
        self._files = ControlFiles(workspace)
        self._store = PipelineEndpoints(workspace)
        self._audit = AuditLog(workspace)

    def create(self, name: str, pipeline_id: str, description: str = "") -> PipelineEndpoint:
        """A stable address whose default version is this published pipeline."""
        check_text("the pipeline endpoint's name", name)
        endpoint = self._store.create(name, pipeline_id, description)
        self._audit.record_own("publish", f"pipeline endpoint {name}", f"pipeline {pipeline_id}")
        return self._addressed(endpoint)

    def get(self, endpoint_id: str) -> PipelineEndpoint:
        """One pipeline endpoint."""
        return self._addressed(self._store.get(endpoint_id))

    def list(self) -> Sequence[PipelineEndpoint]:
        """Every pipeline endpoint, by name."""
        return [self._addressed(endpoint) for endpoint in self._store.list()]

    def set_default(self, endpoint_id: str, pipeline_id: str) -> PipelineEndpoint:
        """Have it run this published pipeline from now on."""
        endpoint = self._store.set_default(endpoint_id, pipeline_id)
        self._audit.record_own("set default", f"pipeline endpoint {endpoint.name}", f"pipeline {pipeline_id}")
        return self._addressed(endpoint)

    def enable(self, endpoint_id: str) -> None:
        """Take triggers again."""
        self._store.enable(endpoint_id)
        self._audit.record_own("enable", f"pipeline endpoint {self._store.get(endpoint_id).name}")

    def disable(self, endpoint_id: str) -> None:
        """Refuse further triggers."""
        self._store.disable(endpoint_id)
        self._audit.record_own("disable", f"pipeline endpoint {self._store.get(endpoint_id).name}")

    def _addressed(self, endpoint: PipelineEndpoint) -> PipelineEndpoint:
        return replace(endpoint, endpoint=f"http://{HOST}:{self._files.port()}{endpoint.endpoint}")
