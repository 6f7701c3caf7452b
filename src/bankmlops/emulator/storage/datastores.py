"""Datastores: names for blob containers, and the keys that open them. Two exist in every workspace, as in the cloud."""

from __future__ import annotations

import re

from starlette.responses import Response

from bankmlops.emulator.history.artifacts import CONTAINER
from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.state import Document, Documents
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import WS, JsonBody, Workspace
from bankmlops.errors import InvalidRequestError, NotFoundError

router = Router(prefix="/datastore/v1.0" + WS)

DEFAULT_DATASTORE = "workspaceblobstore"
ARTIFACT_DATASTORE = "workspaceartifactstore"
_BUILT_IN = (DEFAULT_DATASTORE, ARTIFACT_DATASTORE)
_SECTION = {"endpoint": "core.windows.net", "protocol": "https", "blobCacheTimeout": 300}
_CREDENTIALS = {"accountkey": "accountKey", "sas": "sasToken"}
_NAME = re.compile(r"[a-z0-9_-]{1,255}\Z")


@router.get("/datastores")
def list_datastores(workspace: Workspace) -> Document:
    """Every datastore, the built-in ones first."""
    built_in = [get_datastore(workspace, name) for name in _BUILT_IN]
    others = [each for each in workspace.documents.find("datastore") if each["name"] not in _BUILT_IN]
    return {"value": [*built_in, *others], "continuationToken": None, "nextLink": None}


@router.post("/datastores")
def create(workspace: Workspace, body: JsonBody) -> Document:
    """A new datastore; a name that is taken is a 400 in the words by which the SDK knows it."""
    document = _checked(body)
    with workspace.documents.store.transaction():
        if document["name"] in _BUILT_IN or workspace.documents.get("datastore", document["name"]):
            raise InvalidRequestError(f"Another datastore with the same name already exists: {document['name']}")
        workspace.documents.put("datastore", document["name"], document)
    return document


@router.get("/datastores/{name}")
async def get(workspace: Workspace, name: str) -> Document:
    """One datastore, with its key."""
    return get_datastore(workspace, name)


@router.put("/datastores/{name}")
def update(workspace: Workspace, name: str, body: JsonBody) -> Document:
    """New credentials or another container."""
    _existing(workspace, name)
    document = _checked({**body, "name": name})
    workspace.documents.put("datastore", document["name"], document)
    return document


@router.delete("/datastores/{name}")
def delete(workspace: Workspace, name: str) -> Response:
    """Forget it; the blobs stay. 204 where there is none."""
    return Response(status_code=200 if workspace.documents.delete("datastore", name.lower()) else 204)


@router.get("/default")
async def get_default(workspace: Workspace) -> Document:
    """The datastore that uploads go to."""
    return get_datastore(workspace, str(workspace.record["default_datastore"]))


@router.put("/default/{name}")
def set_default(workspace: Workspace, name: str) -> Document:
    """Make it the default."""
    found = _existing(workspace, name)
    key = f"{workspace.subscription_id}/{workspace.resource_group}/{workspace.name}".lower()
    shared = Documents(workspace.emulator.store, "")
    shared.update("workspace", key, lambda record: record.update(default_datastore=found["name"]))
    return found


def get_datastore(workspace: WorkspaceState, name: str) -> Document:
    """The datastore of this name; the built-in ones are made at first sight. Raises `NotFoundError`."""
    key = name.lower()
    if key in _BUILT_IN:
        return workspace.documents.get_or_create("datastore", key, lambda: _built_in(workspace, key))
    found = workspace.documents.get("datastore", key)
    if found is None:
        raise NotFoundError(f"Could not find datastore {name} in workspace {workspace.name}")
    return found


def _existing(workspace: WorkspaceState, name: str) -> Document:
    return get_datastore(workspace, name)


def _built_in(workspace: WorkspaceState, name: str) -> Document:
    container = CONTAINER if name == ARTIFACT_DATASTORE else f"azureml-blobstore-{workspace.id}"
    return {
        "name": name,
        "dataStoreType": "AzureBlob",
        "hasBeenValidated": True,
        "tags": {},
        "azureStorageSection": {
            "accountName": workspace.account,
            "containerName": container,
            "endpoint": "core.windows.net",
            "protocol": "https",
            "credentialType": "AccountKey",
            "accountKey": workspace.account_key,
            "credential": workspace.account_key,
            "sasToken": None,
            "isSas": False,
            "blobCacheTimeout": 300,
            "clientCredentials": None,
            "areWorkspaceManagedIdentitiesAllowed": False,
            "serviceDataAccessAuthIdentity": "None",
            "subscriptionId": workspace.subscription_id,
            "resourceGroup": workspace.resource_group,
        },
    }


def _checked(body: Document) -> Document:
    name = str(body.get("name") or "").lower()
    if not _NAME.match(name):
        raise InvalidRequestError(f"datastore name {name!r}: use lower-case letters, digits, '_' and '-', 255 at most")
    if body.get("dataStoreType") != "AzureBlob":
        raise InvalidRequestError(f"datastore type {body.get('dataStoreType')!r} is not emulated; blob containers alone are")
    section = body.get("azureStorageSection") or {}
    if not section.get("accountName") or not section.get("containerName"):
        raise InvalidRequestError(f"datastore {name}: azureStorageSection needs accountName and containerName")
    return {**body, "name": name, "hasBeenValidated": True, "azureStorageSection": _completed(section)}


def _completed(section: Document) -> Document:
    """A credential is sent under one name and read under another, by its kind."""
    given = {key: value for key, value in section.items() if value is not None}
    member = _CREDENTIALS.get(str(given.get("credentialType", "")).lower())
    named = {member: given.get("credential")} if member else {}
    return {**_SECTION, "isSas": member == "sasToken", **given, **named}
