"""Long operations of model management: the SDK asks for them until they have ended."""

from __future__ import annotations

import uuid

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.state import Document
from bankmlops.emulator.web.wire import now
from bankmlops.errors import NotFoundError


def begin_operation(workspace: WorkspaceState, service: str) -> str:
    """The id of a new operation on a service."""
    operation_id = str(uuid.uuid4())
    operation = {
        "id": operation_id,
        "operationType": "Service",
        "state": "Running",
        "createdTime": now(),
        "endTime": None,
        "error": None,
        "resourceLocation": service,
        "operationLog": "",
        "operationDetails": {"subOperationType": "DeployService", "subOperationState": "Running"},
    }
    workspace.documents.put("operation", operation_id, operation)
    return operation_id


def end_operation(workspace: WorkspaceState, operation_id: str, error: Document | None = None) -> None:
    """It has succeeded, or failed with this error; what has ended stays as it is."""

    def change(operation: Document) -> None:
        if operation["state"] == "Running":
            operation.update(state="Failed" if error else "Succeeded", error=error, endTime=now())
            operation["operationDetails"]["subOperationState"] = operation["state"]

    workspace.documents.update("operation", operation_id, change)


def get_operation(workspace: WorkspaceState, operation_id: str) -> Document:
    """One operation. Raises `NotFoundError`."""
    operation = workspace.documents.get("operation", operation_id)
    if operation is None:
        raise NotFoundError(f"operation {operation_id} is not in workspace {workspace.name}")
    return operation
