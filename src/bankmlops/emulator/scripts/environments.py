"""Environments: definitions of Python, conda and Docker that the SDK registers and fetches. Nothing is built from them."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.scripts.curated_environments import find_curated
from bankmlops.emulator.state import Document
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import WS, JsonBody, Workspace
from bankmlops.errors import InvalidRequestError, NotFoundError

router = Router(prefix="/environment/v1.0" + WS)

_UNREGISTERED = "unregistered_environment"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}\Z")
_VERSION = re.compile(r"[A-Za-z0-9._-]{1,255}\Z")


@router.get("/environments")
@router.get("/environments/")
def list_environments(workspace: Workspace) -> Document:
    """The newest version of every environment."""
    newest: dict[str, Document] = {each["name"]: each for each in workspace.documents.find("environment")}
    return {"value": list(newest.values()), "continuationToken": None, "nextLink": None}


@router.get("/environments/{name}")
def get_environment(workspace: Workspace, name: str) -> Document:
    """The newest version; Microsoft's curated ones are there without being listed."""
    found = workspace.documents.find("environment", name)
    newest = found[-1] if found else find_curated(name)
    if newest is None:
        raise NotFoundError(f"environment {name} is not in workspace {workspace.name}")
    return newest


@router.get("/environments/{name}/versions/{version}")
def get_version(workspace: Workspace, name: str, version: str) -> Document:
    """One version."""
    key = f"{name}:{version}"
    found = (
        workspace.documents.get("environment", key) or workspace.documents.get(_UNREGISTERED, key) or find_curated(name, version)
    )
    if found is None:
        raise NotFoundError(f"environment {name} version {version} is not in workspace {workspace.name}")
    return found


@router.put("/environments/{name}")
def register(workspace: Workspace, name: str, body: JsonBody) -> Document:
    """The next version, or the newest where nothing changed."""
    definition = _definition(name, body)
    with workspace.documents.store.transaction():
        known = workspace.documents.find("environment", name)
        if known and _without_version(known[-1]) == definition:
            return known[-1]
        return _put(workspace, definition, str(workspace.documents.next_number(f"environment/{name}")))


@router.put("/environments/{name}/versions/{version}")
def register_version(workspace: Workspace, name: str, version: str, body: JsonBody) -> Document:
    """This version, in place of what was there."""
    if not _VERSION.match(version):
        raise InvalidRequestError(f"environment version {version!r}: use letters, digits, '.', '_' and '-'")
    return _put(workspace, _definition(name, body), version)


def keep_unregistered(workspace: WorkspaceState, environment: Document) -> Document:
    """A run's environment with a version to ask for it by: one that has none is kept without being listed, as Azure keeps it."""
    name = environment.get("name")
    if environment.get("version") or not name:
        return environment
    digest = hashlib.sha256(json.dumps(environment, sort_keys=True).encode()).hexdigest()
    kept = {**environment, "version": f"Autosave_{digest[:16]}"}
    workspace.documents.put(_UNREGISTERED, f"{name}:{kept['version']}", kept)
    return kept


def _definition(name: str, body: Document) -> Document:
    if not _NAME.match(name):
        raise InvalidRequestError(f"environment name {name!r}: use letters, digits, '.', '_' and '-', 255 at most")
    # The SDK sends `EnvironmentVariables` and reads `environmentVariables`.
    return {**{_lower_first(key): value for key, value in body.items()}, "name": name}


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _without_version(environment: Document) -> dict[str, Any]:
    return {key: value for key, value in environment.items() if key != "version"}


def _put(workspace: WorkspaceState, definition: Document, version: str) -> Document:
    environment = {**definition, "version": version}
    workspace.documents.put("environment", f"{definition['name']}:{version}", environment, group=definition["name"])
    return environment
