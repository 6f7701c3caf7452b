"""Model management: the assets and models that `Model.register`, `Run.register_model` and `Model(ws, name)` speak to."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from bankmlops.emulator.history import registry
from bankmlops.emulator.web.json_patch import apply_patch, check_patch
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import WS, JsonBody, Workspace, now
from bankmlops.errors import InvalidRequestError, NotFoundError

router = Router(prefix="/modelmanagement/v1.0" + WS)

MAX_PAGE = 1000
_PATCHABLE = (
    "kvTags",
    "properties",
    "description",
    "derivedModelIds",
    "sampleInputData",
    "sampleOutputData",
    "datasets",
    "stage",
    "resourceRequirements",
)


@router.post("/assets")
async def create_asset(workspace: Workspace, body: JsonBody) -> Any:
    """Keep an asset."""
    return registry.create_asset(workspace, body)


@router.get("/assets/{asset_id}")
async def get_asset(asset_id: str, workspace: Workspace) -> Any:
    """One asset."""
    return registry.get_asset(workspace, asset_id)


@router.get("/assets")
async def list_assets(workspace: Workspace, request: Request) -> Any:
    """The assets of a name, a run, a type or with properties."""
    return {"value": registry.list_assets(workspace, request.query_params)}


@router.post("/models")
async def register_model(workspace: Workspace, body: JsonBody) -> Any:
    """Make the next version of a model."""
    return registry.register_model(workspace, body)


@router.get("/models")
async def list_models(workspace: Workspace, request: Request) -> Any:
    """The models that the query selects, newest first."""
    return {"value": registry.find_models(workspace, request.query_params)[: _count(request.query_params.get("count"))]}


@router.get("/models/{model_id}")
async def get_model(model_id: str, workspace: Workspace) -> Any:
    """One model version."""
    return registry.get_model(workspace, model_id)


@router.patch("/models/{model_id}")
async def patch_model(model_id: str, workspace: Workspace, body: JsonBody) -> Any:
    """Change tags, properties or the description."""
    check_patch(body, _PATCHABLE)

    def change(model: dict[str, Any]) -> None:
        apply_patch(model, body)
        model["modifiedTime"] = now()

    model = workspace.documents.update("model", model_id, change)
    if model is None:
        raise NotFoundError(f"model {model_id} is not in workspace {workspace.name}")
    return model


@router.delete("/models/{model_id}")
async def delete_model(model_id: str, workspace: Workspace) -> Response:
    """Forget a model version; 204 where there is none."""
    return Response(status_code=200 if workspace.documents.delete("model", model_id) else 204)


def _count(text: str | None) -> int:
    if text is None:
        return MAX_PAGE
    if not text.isdigit():
        raise InvalidRequestError(f"count {text!r} is not a number")
    return min(int(text), MAX_PAGE)
