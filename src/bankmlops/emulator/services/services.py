"""Model management's web services on the wire: validate, deploy, list, change, delete; keys, logs and operations."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.services import deployments, service_log
from bankmlops.emulator.state import Document
from bankmlops.emulator.web.operations import get_operation
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import WS, JsonBody, Workspace, hold
from bankmlops.errors import BankMLOpsError

router = Router(prefix="/modelmanagement/v1.0" + WS)


@router.post("/services/validate/name/{name}")
async def validate_name(workspace: Workspace, name: str) -> Document:
    """An error document where the name is taken; the SDK raises its message."""
    if workspace.documents.get("service", name) is None:
        return {}
    return {
        "error": {
            "code": "NameTaken",
            "message": f"Service {name} already exists in workspace {workspace.name}; use overwrite=True",
        }
    }


@router.post("/services/validate/resource")
async def validate_resource() -> Document:
    """This machine has the CPU and memory that it has."""
    return {}


@router.post("/services/validate")
def validate(workspace: Workspace, body: JsonBody) -> Document:
    """An error document where a new service could not be made."""
    request = body.get("createRequest") or body.get("payload") or {}
    if not isinstance(request, dict) or not request.get("name"):
        return {}
    try:
        deployments.check_new_service(workspace, request)
    except BankMLOpsError as error:
        return {"error": {"code": "BadArgument", "message": str(error)}}
    return {}


@router.post("/services")
def create(workspace: Workspace, body: JsonBody) -> Response:
    """202, and the operation to wait for."""
    return _accepted(workspace, deployments.create_service(workspace, body))


@router.get("/services")
async def list_services(workspace: Workspace, request: Request) -> Document:
    """The services that the query selects. There is no `nextLink`: the SDK would follow even a null."""
    return {"value": [each for each in deployments.list_services(workspace) if _selected(each, request.query_params)]}


@router.get("/services/{name}")
async def get(workspace: Workspace, name: str) -> Document:
    """One service, or 404."""
    return deployments.get_service(workspace, name)


@router.patch("/services/{name}")
def patch(workspace: Workspace, name: str, body: JsonBody) -> Response:
    """202, and the operation to wait for."""
    return _accepted(workspace, deployments.patch_service(workspace, name, body))


@router.delete("/services/{name}")
def delete(workspace: Workspace, name: str) -> Response:
    """200; 204 where there is none."""
    return Response(status_code=200 if deployments.delete_service(workspace, name) else 204)


@router.post("/services/{name}/listkeys")
async def list_keys(workspace: Workspace, name: str) -> Document:
    """Both keys."""
    return deployments.get_keys(workspace, name)


@router.post("/services/{name}/regenerateKeys")
def regenerate_key(workspace: Workspace, name: str, body: JsonBody) -> Response:
    """202; the new key counts already."""
    return _accepted(workspace, deployments.regenerate_key(workspace, name, str(body.get("keyType")), body.get("keyValue")))


@router.get("/services/{name}/logs")
def get_logs(workspace: Workspace, name: str, tail: int = service_log.MAX_TAIL) -> Document:
    """The newest lines of what the service's process and its front have written."""
    deployments.get_service(workspace, name)
    return {"content": service_log.tail(deployments.log_of(workspace, name), tail)}


@router.get("/operations/{operation_id}")
async def operation(workspace: Workspace, operation_id: str) -> Document:
    """How the operation stands; the answer is held while it runs, since the SDK sleeps for 5 s after each "Running"."""
    await hold(workspace.emulator, lambda: get_operation(workspace, operation_id)["state"] != "Running")
    return get_operation(workspace, operation_id)


def _accepted(workspace: WorkspaceState, operation_id: str) -> Response:
    path = router.prefix.format(
        subscription_id=workspace.subscription_id, resource_group=workspace.resource_group, workspace=workspace.name
    )
    location = f"{workspace.emulator.base_url}{path}/operations/{operation_id}"
    return JSONResponse({}, 202, headers={"Operation-Location": location})


def _selected(service: Document, filters: Any) -> bool:
    if filters.get("computeType") and service["computeType"] != filters["computeType"]:
        return False
    models = service["models"]
    if filters.get("modelName") and filters["modelName"] not in [model["name"] for model in models]:
        return False
    if filters.get("modelId") and filters["modelId"] not in [model["id"] for model in models]:
        return False
    return all(
        _bears(service[member], part)
        for name, member in (("tags", "kvTags"), ("properties", "properties"))
        for part in filter(None, (filters.get(name) or "").split(","))
    )


def _bears(tags: Document, part: str) -> bool:
    name, equals, value = part.partition("=")
    return name in tags and (not equals or tags[name] == value)
