"""Pipeline endpoints on Azure ML: a stable REST endpoint over published pipelines, through the SDK's `PipelineEndpoint`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from bankmlops.azure.errors import translated
from bankmlops.azure.names import check_text
from bankmlops.azure.pipelines import Pipelines
from bankmlops.azure.workspace import AzureWorkspace
from bankmlops.errors import ConflictError, NotFoundError
from bankmlops.types import PipelineEndpoint

_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_MOST = 1000


class PipelineEndpoints:
    """The workspace's pipeline endpoints."""

    def __init__(self, workspace: AzureWorkspace, pipelines: Pipelines) -> None:
        self._workspace = workspace
        self._pipelines = pipelines

    def create(self, name: str, pipeline_id: str, description: str = "") -> PipelineEndpoint:
        """Publish it. The SDK looks whether the name is taken before it asks Azure, which looks again."""
        from azureml.pipeline.core import PipelineEndpoint as SdkPipelineEndpoint

        check_text("the pipeline endpoint's name", name)
        pipeline = self._pipelines.find(pipeline_id)
        if any(found.name == name for found in self._all()):
            raise ConflictError(f"there is a pipeline endpoint {name!r} already; set its default instead")
        return _endpoint(SdkPipelineEndpoint.publish(self._workspace.sdk, name, description, pipeline))

    def get(self, endpoint_id: str) -> PipelineEndpoint:
        return _endpoint(self._find(endpoint_id))

    def list(self) -> Sequence[PipelineEndpoint]:
        """Every pipeline endpoint, by name; a disabled one too."""
        return [_endpoint(found) for found in sorted(self._all(), key=lambda found: str(found.name))]

    def set_default(self, endpoint_id: str, pipeline_id: str) -> PipelineEndpoint:
        """Make the pipeline the default version, and a version where it is none yet."""
        found, pipeline = self._find(endpoint_id), self._pipelines.find(pipeline_id)
        if pipeline_id in _versions(found).values():
            found.set_default(pipeline)
        else:
            found.add_default(pipeline)
        return self.get(endpoint_id)

    def enable(self, endpoint_id: str) -> None:
        """Take triggers again (idempotent)."""
        self._find(endpoint_id).enable()

    def disable(self, endpoint_id: str) -> None:
        """Refuse further triggers (idempotent)."""
        self._find(endpoint_id).disable()

    def _all(self) -> Sequence[Any]:
        from azureml.pipeline.core import PipelineEndpoint as SdkPipelineEndpoint

        return list(SdkPipelineEndpoint.list(self._workspace.sdk, active_only=False, max_results=_MOST))

    def _find(self, endpoint_id: str) -> Any:
        from azureml.pipeline.core import PipelineEndpoint as SdkPipelineEndpoint

        if not _ID.fullmatch(endpoint_id):
            raise NotFoundError(f"no pipeline endpoint has the id {endpoint_id!r}: an id has letters, digits and dashes")
        with translated(f"pipeline endpoint {endpoint_id}"):
            return SdkPipelineEndpoint.get(self._workspace.sdk, id=endpoint_id)


def _versions(found: Any) -> dict[str, str]:
    return {str(each.version): str(each.pipeline_id) for each in found.pipeline_version_list}


def _endpoint(found: Any) -> PipelineEndpoint:
    return PipelineEndpoint(
        id=str(found.id),
        name=str(found.name),
        endpoint=str(found.endpoint or ""),
        default_version=str(found.default_version),
        versions=_versions(found),
        status=str(found.status),
        description=str(found.description or ""),
    )
