"""The model registry as Azure keeps it: assets (which uploaded files), and models (a name, versions 1, 2, ... and an asset)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.state import Document
from bankmlops.emulator.web.wire import now
from bankmlops.errors import InvalidRequestError, NotFoundError

ASSET_URL = "aml://asset/"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}\Z")
_MODEL_DEFAULTS: Mapping[str, Any] = {
    "description": "",
    "url": None,
    "mimeType": "application/x-python",
    "framework": "Custom",
    "frameworkVersion": None,
    "unpack": False,
    "experimentName": None,
    "runId": None,
    "parentModelId": None,
    "derivedModelIds": [],
    "datasets": [],
    "sampleInputData": None,
    "sampleOutputData": None,
    "resourceRequirements": None,
    "properties": {},
}


def create_asset(workspace: WorkspaceState, request: Document) -> Document:
    """Keep an asset: a name and the artifacts it stands for."""
    asset = {**request, "id": uuid.uuid4().hex, "createdTime": now()}
    workspace.documents.put("asset", asset["id"], asset, group=str(request.get("name", "")))
    return asset


def get_asset(workspace: WorkspaceState, asset_id: str) -> Document:
    """The asset. Raises `NotFoundError`."""
    asset = workspace.documents.get("asset", asset_id)
    if asset is None:
        raise NotFoundError(f"asset {asset_id} is not in workspace {workspace.name}")
    return asset


def list_assets(workspace: WorkspaceState, filters: Mapping[str, str]) -> list[Document]:
    """The assets that the SDK's query parameters select, by name, run, type and properties, oldest first."""
    assets = workspace.documents.find("asset", filters.get("name"))
    return [asset for asset in assets if _asked_for(asset, filters)]


def _asked_for(asset: Document, filters: Mapping[str, str]) -> bool:
    run_id, kind = filters.get("runId"), filters.get("type")
    if run_id is not None and run_id not in (asset.get("runid"), asset.get("runId")):
        return False
    return (kind is None or asset.get("type") == kind) and _bears(asset.get("properties") or {}, filters.get("properties", ""))


def register_model(workspace: WorkspaceState, request: Document) -> Document:
    """Make the next version of the model. Raises `InvalidRequestError` for a name that Azure would refuse."""
    name = str(request.get("name") or "")
    if not _NAME.match(name):
        raise InvalidRequestError(f"model name {name!r}: use letters, digits, '.', '_' and '-', 255 at most")
    version = workspace.documents.next_number(f"model/{name}")
    given = {key: value for key, value in request.items() if value is not None}
    tags = given.get("kvTags") or {}
    model = {
        **_MODEL_DEFAULTS,
        **given,
        "id": f"{name}:{version}",
        "version": version,
        "kvTags": tags,
        "createdTime": now(),
        "modifiedTime": now(),
        "createdBy": {"userObjectId": workspace.emulator.secrets.user_id, "userName": "Emulator User"},
    }
    workspace.documents.put("model", model["id"], model, group=name)
    return model


def get_model(workspace: WorkspaceState, model_id: str) -> Document:
    """The model by its id, NAME:VERSION. Raises `NotFoundError`."""
    model = workspace.documents.get("model", model_id)
    if model is None:
        raise NotFoundError(f"model {model_id} is not in workspace {workspace.name}")
    return model


def find_models(workspace: WorkspaceState, filters: Mapping[str, str]) -> list[Document]:
    """The models that the SDK's query parameters select, newest first."""
    models = workspace.documents.find("model", filters.get("name") or None)
    models = [model for model in reversed(models) if _selected(model, filters)]
    if filters.get("latestVersionOnly", "").lower() == "true":
        newest: dict[str, Document] = {}
        for model in models:
            newest.setdefault(model["name"], model)
        models = list(newest.values())
    return models


def _selected(model: Document, filters: Mapping[str, str]) -> bool:
    plain = (("framework", "framework"), ("runId", "runId"))
    if any(filters.get(name) and model[key] != filters[name] for name, key in plain):
        return False
    return _bears(model["kvTags"], filters.get("tags", "")) and _bears(model["properties"], filters.get("properties", ""))


def _bears(labels: Mapping[str, str], wanted: str) -> bool:
    # `key` asks for the key alone, `key=value` for both; a comma separates.
    for part in filter(None, wanted.split(",")):
        key, equals, value = part.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True
