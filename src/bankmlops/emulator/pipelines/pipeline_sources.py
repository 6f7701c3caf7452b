"""Data sources of a pipeline's graph on the wire: a path on a datastore, which a step gets as a file or a folder."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.pipelines.pipeline_graphs import entity
from bankmlops.emulator.state import Document
from bankmlops.emulator.storage.datastores import get_datastore
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import WS, JsonBody, Workspace
from bankmlops.errors import InvalidRequestError, NotFoundError

router = Router(prefix="/pipelines/v1.0" + WS + "/DataSources")

_UPLOADED = "1"
_BLOB = "1"


@router.get("/Hash/{identifier_hash}")
def find(workspace: Workspace, identifier_hash: str) -> Response:
    """The data source with this content; 204 where there is none."""
    found = workspace.documents.find("pipeline_source", identifier_hash)
    return JSONResponse(found[-1]) if found else Response(status_code=204)


@router.post("")
def create(workspace: Workspace, body: JsonBody) -> Document:
    """Keep a data source. 400 for a table of a database."""
    datastore, path = str(body.get("DataStoreName") or ""), str(body.get("PathOnDataStore") or "")
    if body.get("SqlTableName") or body.get("SqlQuery") or body.get("SqlStoredProcedureName"):
        raise InvalidRequestError(f"data source {body.get('Name')}: databases are not emulated; give a path on a blob container")
    named = ("Name", "DataTypeId", "Description", "IdentifierHash")
    source = {
        **entity({name: body.get(name) for name in named}),
        "UploadState": _UPLOADED,
        "DataLocation": data_location(workspace, datastore, path),
    }
    workspace.documents.put("pipeline_source", source["Id"], source, group=str(body.get("IdentifierHash") or ""))
    return source


@router.get("/{source_id}")
def get(workspace: Workspace, source_id: str) -> Document:
    """One data source."""
    return find_existing_source(workspace, source_id)


def find_existing_source(workspace: WorkspaceState, source_id: str) -> Document:
    """The data source. Raises `NotFoundError`."""
    found = workspace.documents.get("pipeline_source", source_id)
    if found is None:
        raise NotFoundError(f"data source {source_id} is not in workspace {workspace.name}")
    return found


def data_location(workspace: WorkspaceState, datastore: str, path: str) -> Document:
    """A path on a datastore, as this service says it. Raises `NotFoundError` for an unknown datastore."""
    section = get_datastore(workspace, datastore)["azureStorageSection"]
    reference = {
        "Container": section["containerName"],
        "SasToken": None,
        "Uri": None,
        "Account": section["accountName"],
        "RelativePath": path,
        "AmlDataStoreName": datastore,
    }
    return {
        "StorageType": "0",
        "StorageId": None,
        "Uri": None,
        "DataReference": {"Type": _BLOB, "AzureBlobReference": reference},
    }
