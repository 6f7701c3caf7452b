"""Compute targets: AmlCompute, created, scaled and deleted in name. Nothing runs there; the backend trains on this machine."""

from __future__ import annotations

import uuid
from typing import Any

from starlette.responses import JSONResponse, Response

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.state import Document
from bankmlops.emulator.web.arm import ARM_HOST, LOCATION
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import WS, JsonBody, Workspace, now
from bankmlops.errors import NotFoundError

router = Router()

_OPERATIONS = "/providers/Microsoft.MachineLearningServices/locations/{location}/computeOperationsStatus/{operation_id}"
_SCALE = {"minNodeCount": 0, "maxNodeCount": 1, "nodeIdleTimeBeforeScaleDown": "PT120S"}
_VM_SIZES: tuple[dict[str, Any], ...] = tuple(
    {"name": name, "vCPUs": cpus, "gpus": 0, "memoryGB": memory, "maxResourceVolumeMB": disk, "osVhdSizeMB": 1047552}
    for name, cpus, memory, disk in (
        ("Standard_D2_v2", 2, 7.0, 102400),
        ("Standard_D3_v2", 4, 14.0, 204800),
        ("Standard_DS3_v2", 4, 14.0, 28672),
        ("Standard_DS11_v2", 2, 14.0, 28672),
        ("Standard_DS12_v2", 4, 28.0, 57344),
    )
)


@router.get(WS + "/computes")
@router.get("/rp/workspaces" + WS + "/computes")
async def list_computes(workspace: Workspace) -> dict[str, Any]:
    """Every compute of the workspace. A null `nextLink` would have the SDK ask for the page "None"."""
    return {"value": workspace.documents.find("compute")}


@router.get(WS + "/computes/{name}")
@router.get("/rp/workspaces" + WS + "/computes/{name}")
async def get_compute(workspace: Workspace, name: str) -> Document:
    """One compute, or 404."""
    return find_compute(workspace, name)


@router.put(WS + "/computes/{name}")
async def create_compute(workspace: Workspace, name: str, body: JsonBody) -> Response:
    """It stands at once: 201, and an operation that has succeeded."""
    compute = _compute(workspace, name, body)
    workspace.documents.put("compute", name, compute)
    return JSONResponse(compute, 201, headers=_operation_headers(workspace))


@router.patch(WS + "/computes/{name}")
async def update_compute(workspace: Workspace, name: str, body: JsonBody) -> Response:
    """New scale settings."""
    find_compute(workspace, name)
    asked = _asked_properties(body)
    compute = workspace.documents.update("compute", name, lambda document: _scale(document, asked))
    return JSONResponse(compute, 200, headers=_operation_headers(workspace))


@router.delete(WS + "/computes/{name}")
async def delete_compute(workspace: Workspace, name: str) -> Response:
    """It is gone at once."""
    find_compute(workspace, name)
    workspace.documents.delete("compute", name)
    return Response(status_code=202, headers=_operation_headers(workspace))


@router.post(WS + "/computes/{name}/listNodes")
async def list_nodes(workspace: Workspace, name: str) -> dict[str, Any]:
    """The nodes that the scale settings keep up, one at least, each idle and without an address."""
    nodes = int(find_compute(workspace, name)["properties"]["properties"]["currentNodeCount"])
    return {"nodes": [_node(number) for number in range(nodes)]}


@router.get("/subscriptions/{subscription_id}/providers/Microsoft.MachineLearningServices/locations/{location}/vmSizes")
async def list_vm_sizes() -> dict[str, Any]:
    """A few of Azure's sizes; a compute of any other can be made too."""
    return {"amlCompute": [{**each, "family": "", "lowPriorityCapable": True} for each in _VM_SIZES]}


@router.get("/subscriptions/{subscription_id}" + _OPERATIONS)
async def get_operation(operation_id: str) -> dict[str, Any]:
    """Every operation on a compute has succeeded by the time its id is known."""
    return {"id": operation_id, "status": "Succeeded", "percentComplete": 100.0}


def _node(number: int) -> dict[str, Any]:
    """One node; a node that nothing runs on has no run."""
    return {
        "nodeId": f"tvmps_{number:08x}",
        "privateIpAddress": None,
        "publicIpAddress": None,
        "port": None,
        "nodeState": "idle",
        "runId": None,
    }


def find_compute(workspace: WorkspaceState, name: str) -> Document:
    """The compute. Raises `NotFoundError`."""
    compute = workspace.documents.get("compute", name)
    if compute is None:
        raise NotFoundError(f"ComputeTargetNotFound: compute {name} is not in workspace {workspace.name}")
    return compute


def _operation_headers(workspace: WorkspaceState) -> dict[str, str]:
    path = _OPERATIONS.format(location=LOCATION, operation_id=uuid.uuid4())
    url = f"{ARM_HOST}/subscriptions/{workspace.subscription_id}{path}?api-version=2018-11-19"
    return {"Azure-AsyncOperation": url}


def _asked_properties(body: Document) -> Document:
    properties: Document = body.get("properties") or {}
    return {**properties, **(properties.get("properties") or {})}


def _scale(compute: Document, asked: Document) -> None:
    details = compute["properties"]["properties"]
    details["scaleSettings"].update(
        {key: value for key, value in (asked.get("scaleSettings") or {}).items() if value is not None}
    )
    smallest, largest = (int(details["scaleSettings"][name]) for name in ("minNodeCount", "maxNodeCount"))
    nodes = min(max(smallest, 1), largest)  # one is up at once: who waits for a node would wait in vain, for minutes
    details["currentNodeCount"] = details["targetNodeCount"] = details["nodeStateCounts"]["idleNodeCount"] = nodes
    compute["properties"]["modifiedOn"] = now()


def _compute(workspace: WorkspaceState, name: str, body: Document) -> Document:
    asked = _asked_properties(body)
    moment = now()
    states = ("preparing", "running", "idle", "unusable", "leaving", "preempted")
    details = {
        "vmSize": str(asked.get("vmSize") or "STANDARD_D2_V2").upper(),
        "vmPriority": asked.get("vmPriority") or "Dedicated",
        "scaleSettings": dict(_SCALE),
        "subnet": asked.get("subnet"),
        "allocationState": "Steady",
        "allocationStateTransitionTime": moment,
        "currentNodeCount": 0,
        "targetNodeCount": 0,
        "nodeStateCounts": {f"{state}NodeCount": 0 for state in states},
        "errors": None,
        "remoteLoginPortPublicAccess": "NotSpecified",
    }
    compute = {
        "id": f"{workspace.path}/computes/{name}",
        "name": name,
        "type": "Microsoft.MachineLearningServices/workspaces/computes",
        "location": body.get("location") or LOCATION,
        "tags": body.get("tags") or {},
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "computeType": asked.get("computeType", "AmlCompute"),
            "description": asked.get("description"),
            "createdOn": moment,
            "modifiedOn": moment,
            "resourceId": None,
            "computeLocation": LOCATION,
            "provisioningState": "Succeeded",
            "provisioningErrors": None,
            "isAttachedCompute": False,
            "properties": details,
        },
    }
    _scale(compute, asked)
    return compute
