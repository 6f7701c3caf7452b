"""The pipeline service's building blocks on the wire: data types, modules (a step's interface), and graphs of them.

Names are in PascalCase and lists are bare arrays, as this oldest of Azure ML's services has them.
"""

from __future__ import annotations

import uuid
from typing import Any

from starlette.responses import JSONResponse, Response

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.state import Document
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import WS, JsonBody, Workspace, now
from bankmlops.errors import NotFoundError

router = Router(prefix="/pipelines/v1.0" + WS)

_UPLOADED = "1"
_STRING = "1"


@router.get("/DataTypes")
def list_data_types(workspace: Workspace) -> list[Document]:
    """Every data type."""
    return workspace.documents.find("data_type")


@router.post("/DataTypes")
def create_data_type(workspace: Workspace, body: JsonBody) -> Document:
    """The SDK makes those that it needs and does not find."""
    key = str(body.get("Id") or body["Name"])
    return workspace.documents.get_or_create("data_type", key, lambda: {**entity(body), "Id": key})


@router.get("/Modules/Hash/{identifier_hash}")
def find_module(workspace: Workspace, identifier_hash: str) -> Response:
    """The module with this content; 204 where there is none."""
    found = workspace.documents.find("pipeline_module", identifier_hash)
    return JSONResponse(_with_interface(found[-1])) if found else Response(status_code=204)


@router.post("/Modules")
def create_module(workspace: Workspace, body: JsonBody) -> Document:
    """Keep a module."""
    module = {**entity(body), "UploadState": _UPLOADED}
    module.pop("CloudSettings", None)
    workspace.documents.put("pipeline_module", module["Id"], module, group=str(body.get("IdentifierHash") or ""))
    return module


@router.get("/Modules/{module_id}")
def get_module(workspace: Workspace, module_id: str) -> Document:
    """One module, with its interface."""
    return _with_interface(find_existing_module(workspace, module_id))


@router.get("/Graphs/{graph_id}")
def get_graph(workspace: Workspace, graph_id: str) -> Document:
    """One graph."""
    return find_existing_graph(workspace, graph_id)


@router.get("/Graphs/{graph_id}/Interface")
def get_graph_interface(workspace: Workspace, graph_id: str) -> Document:
    """The graph's parameters, and no ports: a pipeline's outputs are asked for by name."""
    find_existing_graph(workspace, graph_id)
    interface = find_interface(workspace, graph_id)
    names = ("Parameters", "MetadataParameters", "DataPathParameters", "DataPathParameterList")
    return {"Ports": {"Inputs": [], "Outputs": []}, **{name: interface.get(name) or [] for name in names}}


def entity(given: Document) -> Document:
    """What was given as an entity of this service: with an id, a tag, dates and the status "Active"."""
    moment = now()
    return {
        **given,
        "Id": str(uuid.uuid4()),
        "Etag": uuid.uuid4().hex,
        "CreatedDate": moment,
        "LastModifiedDate": moment,
        "EntityStatus": "0",
    }


def add_graph(workspace: WorkspaceState, graph: Document, interface: Document | None) -> str:
    """Keep a graph and what it takes from outside, and answer its id."""
    kept = entity(graph)
    workspace.documents.put("pipeline_graph", kept["Id"], kept)
    workspace.documents.put("pipeline_graph_interface", kept["Id"], interface or {})
    return str(kept["Id"])


def find_existing_graph(workspace: WorkspaceState, graph_id: str) -> Document:
    """The graph. Raises `NotFoundError`."""
    return _existing(workspace, "pipeline_graph", graph_id)


def find_interface(workspace: WorkspaceState, graph_id: str) -> Document:
    """What a graph takes from outside."""
    return workspace.documents.get("pipeline_graph_interface", graph_id) or {}


def find_existing_module(workspace: WorkspaceState, module_id: str) -> Document:
    """The module. Raises `NotFoundError`."""
    return _existing(workspace, "pipeline_module", module_id)


def _existing(workspace: WorkspaceState, kind: str, key: str) -> Document:
    found = workspace.documents.get(kind, key)
    if found is None:
        raise NotFoundError(f"{kind.replace('_', ' ')} {key} is not in workspace {workspace.name}")
    return found


def _with_interface(module: Document) -> Document:
    structure = module.get("StructuredInterface") or {}
    ports = {
        "Inputs": [_input(each) for each in structure.get("Inputs") or []],
        "Outputs": [_output(each) for each in structure.get("Outputs") or []],
    }
    interface = {
        "Parameters": [_parameter(each) for each in structure.get("Parameters") or []],
        "MetadataParameters": [_parameter(each) for each in structure.get("MetadataParameters") or []],
        "DataPathParameters": [],
        "DataPathParameterList": [],
        "Ports": ports,
    }
    return {"Data": module, "Interface": interface}


def _parameter(given: Document) -> dict[str, Any]:
    return {
        "Name": given["Name"],
        "Documentation": None,
        "DefaultValue": given.get("DefaultValue"),
        "IsOptional": given.get("IsOptional"),
        "MinMaxRules": [],
        "EnumRules": [],
        "Type": _STRING,
    }


def _input(given: Document) -> dict[str, Any]:
    return {"Name": given["Name"], "DataTypesIds": given.get("DataTypeIdsList"), "IsOptional": given.get("IsOptional")}


def _output(given: Document) -> dict[str, Any]:
    return {"Name": given["Name"], "DataTypeId": given.get("DataTypeId"), "PassThroughInputName": None}
