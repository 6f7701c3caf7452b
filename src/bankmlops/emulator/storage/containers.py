"""The container behind a datastore, for what the emulator itself reads and writes there."""

from __future__ import annotations

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.storage.datastores import get_datastore
from bankmlops.errors import InvalidRequestError


def container_to_read(workspace: WorkspaceState, datastore: str) -> tuple[str, str]:
    """Account and container. Raises `NotFoundError`, and `InvalidRequestError` for an account that is not served here."""
    account, container = _container(workspace, datastore)
    if not workspace.emulator.has_account(account):
        raise InvalidRequestError(f"datastore {datastore}: the emulator has no storage account {account} to read from")
    return account, container


def container_to_write(workspace: WorkspaceState, datastore: str) -> tuple[str, str]:
    """Account and container. Raises `NotFoundError`, and `InvalidRequestError` for an account that belongs to no workspace."""
    account, container = _container(workspace, datastore)
    if workspace.emulator.account_key(account) is None:
        raise InvalidRequestError(f"datastore {datastore}: storage account {account} can't be written to; use workspaceblobstore")
    return account, container


def _container(workspace: WorkspaceState, datastore: str) -> tuple[str, str]:
    section = get_datastore(workspace, datastore)["azureStorageSection"]
    return str(section["accountName"]), str(section["containerName"])
