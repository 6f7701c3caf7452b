"""Data assets of Azure Resource Manager, for SDK v2: names for paths of storage, with versions that the client numbers."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.sdk_v2.documents import checked_name, in_view, page, resource
from bankmlops.emulator.state import Document
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import WS, JsonBody, Workspace, now
from bankmlops.errors import InvalidRequestError, NotFoundError

router = Router(prefix=WS + "/data")

MAX_URI = 4096
_TYPES = ("uri_file", "uri_folder", "mltable")
_KEPT = ("dataType", "dataUri", "description", "tags", "properties", "isAnonymous", "isArchived", "referencedUris")
_CHANGEABLE = ("description", "tags", "isArchived")
_FIXED = (
    "A data version with this name and version already exists. If you are trying to create a new data version, use a different "
    "name or version. If you are trying to update an existing data version, the existing asset's data uri cannot be changed. "
    "Only tags, description, and isArchived can be updated."
)


@router.get("")
def list_names(workspace: Workspace, request: Request) -> Document:
    """Every data asset with its latest version and the number that comes next, the newest first."""
    found = [_container(workspace, each["name"]) for each in reversed(workspace.documents.find("data_asset"))]
    return page(request, in_view(found, request.query_params.get("listViewType", "ActiveOnly")))


@router.get("/{name}")
def get_name(workspace: Workspace, name: str) -> Document:
    """One data asset with its latest version and the number that comes next."""
    return _container(workspace, name)


@router.put("/{name}")
def change_name(workspace: Workspace, name: str, body: JsonBody) -> Document:
    """Archive a data asset or bring it back."""
    archived = bool((body.get("properties") or {}).get("isArchived"))
    workspace.documents.update("data_asset", name, lambda document: document.update(isArchived=archived))
    return _container(workspace, name)


@router.get("/{name}/versions")
def list_versions(workspace: Workspace, name: str, request: Request) -> Document:
    """The versions of a data asset, the newest first."""
    found = [_document(workspace, each) for each in reversed(workspace.documents.find("data_version", name))]
    return page(request, in_view(found, request.query_params.get("listViewType", "ActiveOnly")))


@router.get("/{name}/versions/{version}")
def get_version(workspace: Workspace, name: str, version: str) -> Document:
    """One version."""
    return _document(workspace, find_version(workspace, name, version))


@router.put("/{name}/versions/{version}")
def put_version(workspace: Workspace, name: str, version: str, body: JsonBody) -> JSONResponse:
    """A new version; of one that is there the description, the tags and whether it is archived, and no other path."""
    properties = _checked(body.get("properties") or {})
    key = f"{checked_name('data asset', name)}/{checked_name('version', version)}"
    with workspace.documents.store.transaction():
        known = workspace.documents.get("data_version", key)
        if known is None:
            workspace.documents.get_or_create("data_asset", name, lambda: {"name": name, "isArchived": False})
            known = {"name": name, "version": version, "created": now(), "properties": properties}
            status = 201
        else:
            _change(known["properties"], properties)
            status = 200
        workspace.documents.put("data_version", key, known, group=name)
    return JSONResponse(_document(workspace, known), status)


def find_version(workspace: WorkspaceState, name: str, version: str) -> Document:
    """The document of one version: `properties` are those on the wire. Raises `NotFoundError`."""
    found = workspace.documents.get("data_version", f"{name}/{version}")
    if found is None:
        raise NotFoundError(f"data asset {name}:{version} is not in workspace {workspace.name}")
    return found


def _checked(properties: Document) -> Document:
    if properties.get("dataType") not in _TYPES:
        raise InvalidRequestError(f"dataType {properties.get('dataType')!r} is unknown; give one of: {', '.join(_TYPES)}")
    uri = properties.get("dataUri")
    if not isinstance(uri, str) or not 0 < len(uri) <= MAX_URI:
        raise InvalidRequestError(f"dataUri is missing, or longer than {MAX_URI} characters")
    return {name: properties[name] for name in _KEPT if properties.get(name) is not None}


def _change(known: Document, asked: Document) -> None:
    if known["dataUri"] != asked["dataUri"]:
        raise InvalidRequestError(_FIXED)
    known.update({name: asked[name] for name in _CHANGEABLE if name in asked})


def _container(workspace: WorkspaceState, name: str) -> Document:
    asset = workspace.documents.get("data_asset", name)
    versions = workspace.documents.find("data_version", name)
    if asset is None or not versions:
        raise NotFoundError(f"data asset {name} is not in workspace {workspace.name}")
    numbers = [int(each["version"]) for each in versions if each["version"].isdecimal()]
    properties = {
        "dataType": versions[-1]["properties"]["dataType"],
        "latestVersion": versions[-1]["version"],
        "nextVersion": str(max(numbers, default=0) + 1),
        "isArchived": asset["isArchived"],
        "tags": {},
        "properties": {},
    }
    return resource(workspace, f"data/{name}", properties, versions[0]["created"])


def _document(workspace: WorkspaceState, version: Document) -> Document:
    path = f"data/{version['name']}/versions/{version['version']}"
    return resource(workspace, path, version["properties"], version["created"])
