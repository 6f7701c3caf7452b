"""Datastores of Azure Resource Manager, for SDK v2: those of the datastore service, and the keys that open them."""

from __future__ import annotations

from starlette.requests import Request

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.sdk_v2.documents import page, resource
from bankmlops.emulator.state import Document
from bankmlops.emulator.storage import datastores
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import WS, Workspace

router = Router(prefix=WS + "/datastores")


@router.get("")
def list_all(workspace: Workspace, request: Request) -> Document:
    """Every datastore, the built-in ones first; with `isDefault=true` the default one alone."""
    found = [_document(workspace, each) for each in datastores.list_datastores(workspace)["value"]]
    if request.query_params.get("isDefault", "").lower() == "true":
        found = [each for each in found if each["properties"]["isDefault"]]
    return page(request, found)


@router.get("/{name}")
def get(workspace: Workspace, name: str) -> Document:
    """One datastore, without its key."""
    return _document(workspace, datastores.get_datastore(workspace, name))


@router.post("/{name}/listSecrets")
def list_secrets(workspace: Workspace, name: str) -> Document:
    """The key of its storage account, or its shared access signature."""
    section = datastores.get_datastore(workspace, name)["azureStorageSection"]
    if section.get("isSas"):
        return {"secretsType": "Sas", "sasToken": section.get("sasToken")}
    return {"secretsType": "AccountKey", "key": section.get("accountKey")}


def _document(workspace: WorkspaceState, datastore: Document) -> Document:
    section = datastore["azureStorageSection"]
    properties = {
        "datastoreType": "AzureBlob",
        "accountName": section["accountName"],
        "containerName": section["containerName"],
        "endpoint": section["endpoint"],
        "protocol": section["protocol"],
        "credentials": {"credentialsType": "Sas" if section.get("isSas") else "AccountKey"},
        "isDefault": datastore["name"] == workspace.record["default_datastore"],
        "description": datastore.get("description"),
        "tags": datastore.get("tags") or {},
    }
    return resource(workspace, f"datastores/{datastore['name']}", properties)
