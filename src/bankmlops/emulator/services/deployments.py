"""Web services as model management keeps them: what was asked for, the keys, the long operations, and how each stands.

`service_keeper` starts and watches the processes; it reads what is wanted from here, and writes down how they stand.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import string
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bankmlops.emulator.instance import Emulator, WorkspaceState
from bankmlops.emulator.services import service_files
from bankmlops.emulator.state import Document, Documents
from bankmlops.emulator.web.arm import LOCATION
from bankmlops.emulator.web.json_patch import apply_patch, check_patch
from bankmlops.emulator.web.operations import begin_operation, end_operation
from bankmlops.emulator.web.wire import now
from bankmlops.errors import ConflictError, InvalidRequestError, NotFoundError

LOG_NAME = "container.log"
KEY_NAMES = ("primaryKey", "secondaryKey")
IMAGE = "environmentImageRequest"
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?\Z")
_KEY = re.compile(r"[\x21-\x7e]{1,256}\Z")
_PATCHABLE = ("authEnabled", "appInsightsEnabled", "kvTags", "properties", "description", IMAGE)
_KEY_SIGNS = string.ascii_letters + string.digits
_HIDDEN = ("keys", "overwrite", "sslCertificate", "sslKey")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A service that is to be served: `generation` changes with what it serves; `operation_id` waits for it."""

    name: str
    subscription_id: str
    resource_group: str
    workspace: str
    generation: str
    operation_id: str

    def workspace_state(self, emulator: Emulator) -> WorkspaceState:
        """The workspace that the service belongs to."""
        return emulator.workspace(self.subscription_id, self.resource_group, self.workspace)


def create_service(workspace: WorkspaceState, request: Document) -> str:
    """Have a service deployed, and answer the id of the operation. Raises `ConflictError` where the name is taken."""
    name = check_new_service(workspace, request)
    image = request.get(IMAGE) or {}
    service = {
        **_DEFAULTS,
        **{key: value for key, value in request.items() if value is not None and key not in _HIDDEN},
        "id": name,
        "location": request.get("location") or LOCATION,
        "state": "Transitioning",
        "models": service_files.models_of(workspace, image),
        "createdTime": now(),
        "updatedTime": now(),
        "publicFqdn": "localhost",
    }
    with workspace.documents.store.transaction():
        if workspace.documents.get("service", name) and not request.get("overwrite"):
            raise ConflictError(f"Service {name} already exists in workspace {workspace.name}")
        workspace.documents.put("service", name, service)
        workspace.documents.put("service_keys", name, _new_keys(request.get("keys") or {}))
        return _want(workspace, name)


def check_new_service(workspace: WorkspaceState, request: Document) -> str:
    """The name of a service that can be made. Raises `InvalidRequestError`, and `NotFoundError` for a model that is not there."""
    name = str(request.get("name") or "")
    if not _NAME.match(name) or not 3 <= len(name) <= 32:
        raise InvalidRequestError(
            f"service name {name!r}: use 3 to 32 lower-case letters, digits and '-', a letter first, no '-' last"
        )
    if request.get("computeType") != "ACI":
        raise InvalidRequestError(f"compute type {request.get('computeType')} is not emulated; deploy to ACI")
    if request.get("sslEnabled"):
        raise InvalidRequestError("ssl_enabled is not emulated: services answer over HTTP on this machine alone")
    _check_image(workspace, request.get(IMAGE))
    return name


def get_service(workspace: WorkspaceState, name: str) -> Document:
    """The service as the SDK reads it, keys excepted. Raises `NotFoundError`."""
    service = workspace.documents.get("service", name)
    if service is None:
        raise NotFoundError(f"WebserviceNotFound: service {name} is not in workspace {workspace.name}")
    return _as_wire(workspace, service)


def list_services(workspace: WorkspaceState) -> list[Document]:
    """Every service of the workspace, oldest first."""
    return [_as_wire(workspace, service) for service in workspace.documents.find("service")]


def patch_service(workspace: WorkspaceState, name: str, patch: Sequence[Any]) -> str:
    """Change a service, and answer the id of the operation; what it serves changes only where the patch has another image."""
    get_service(workspace, name)
    check_patch(patch, _PATCHABLE)
    images = [each.get("value") for each in patch if str(each["path"]).strip("/") == IMAGE]
    for image in images:
        _check_image(workspace, image)

    def change(service: Document) -> None:
        apply_patch(service, list(patch))
        service["updatedTime"] = now()
        if images:
            service["models"] = service_files.models_of(workspace, service[IMAGE])
            service.update(state="Transitioning", error=None)

    with workspace.documents.store.transaction():
        workspace.documents.update("service", name, change)
        return _want(workspace, name) if images else _succeeded(workspace, name)


def delete_service(workspace: WorkspaceState, name: str) -> bool:
    """Forget the service; its process ends soon after. False where there is none."""
    with workspace.documents.store.transaction():
        found = workspace.documents.delete("service", name)
        for kind in ("service_keys", "service_port"):
            workspace.documents.delete(kind, name)
        if wanted := _current(workspace, name):
            end_operation(workspace, wanted["operation_id"], {"code": "ServiceDeleted", "message": f"service {name} was deleted"})
            _wanted_documents(workspace).delete("wanted_service", _key(workspace, name))
    shutil.rmtree(folder_of(workspace, name), ignore_errors=True)
    return found


def get_keys(workspace: WorkspaceState, name: str) -> Document:
    """Both keys. Raises `NotFoundError`, and `ConflictError` where the service has no key authentication."""
    if not get_service(workspace, name)["authEnabled"]:
        raise ConflictError(f"service {name} has no keys: key authentication is not enabled")
    return workspace.documents.get("service_keys", name) or {}


def regenerate_key(workspace: WorkspaceState, name: str, which: str, value: str | None) -> str:
    """Replace one key at once, and answer the id of the operation."""
    get_keys(workspace, name)
    member = f"{which.lower()}Key"
    if member not in KEY_NAMES:
        raise InvalidRequestError(f"keyType {which!r}: choose Primary or Secondary")
    key = _checked_key(value) if value else _new_key()
    workspace.documents.update("service_keys", name, lambda keys: keys.update({member: key}))
    return _succeeded(workspace, name)


def wanted_services(emulator: Emulator) -> list[Wanted]:
    """The services of all workspaces that are to be served."""
    return [Wanted(**each) for each in Documents(emulator.store, "").find("wanted_service")]


def folder_of(workspace: WorkspaceState, name: str) -> Path:
    """Where the service's files and log are."""
    return workspace.emulator.folder / "services" / workspace.id / name


def log_of(workspace: WorkspaceState, name: str) -> Path:
    """The service's log."""
    return folder_of(workspace, name) / LOG_NAME


def show_starting(workspace: WorkspaceState, wanted: Wanted) -> None:
    """Its process is being started."""
    workspace.documents.delete("service_port", wanted.name)
    _show_state(workspace, wanted, "Transitioning")


def show_healthy(workspace: WorkspaceState, wanted: Wanted, port: int) -> None:
    """The service answers, on this port of the loopback interface."""
    workspace.documents.put("service_port", wanted.name, {"port": port, "emulator": os.getpid()})
    _show_state(workspace, wanted, "Healthy")
    end_operation(workspace, wanted.operation_id)


def show_unhealthy(workspace: WorkspaceState, wanted: Wanted) -> None:
    """The service answered once and does not now; it is being restarted."""
    workspace.documents.delete("service_port", wanted.name)
    _show_state(workspace, wanted, "Unhealthy")


def show_failed(workspace: WorkspaceState, wanted: Wanted, message: str) -> None:
    """The service can't be served, and is not tried again."""
    error = {
        "code": "AciDeploymentFailed",
        "statusCode": 400,
        "message": f"Aci Deployment failed with exception: {message}",
        "details": [{"code": "CrashLoopBackOff", "message": message}],
    }
    with workspace.documents.store.transaction():
        workspace.documents.delete("service_port", wanted.name)
        _show_state(workspace, wanted, "Failed", error)
        end_operation(workspace, wanted.operation_id, error)
        if _current(workspace, wanted.name).get("generation") == wanted.generation:
            _wanted_documents(workspace).delete("wanted_service", _key(workspace, wanted.name))


def port_of(documents: Documents, name: str) -> int | None:
    """Where the service's process listens; None while it does not answer, or where the port is from before a restart."""
    found = documents.get("service_port", name)
    return int(found["port"]) if found and found["emulator"] == os.getpid() else None


_DEFAULTS: Mapping[str, Any] = {
    "description": None,
    "kvTags": {},
    "properties": {},
    "appInsightsEnabled": False,
    "authEnabled": False,
    "cname": None,
    "sslEnabled": False,
    "sslCertificate": None,
    "sslKey": None,
    "imageId": None,
    "imageDigest": None,
    "error": None,
    "containerResourceRequirements": {"cpu": 0.1, "memoryInGB": 0.5},
}


def _as_wire(workspace: WorkspaceState, service: Document) -> Document:
    served = service["state"] in ("Healthy", "Unhealthy")
    uri = f"{workspace.emulator.base_url}/aci/{workspace.id}/{service['name']}/score"
    return {**service, "scoringUri": uri if served else None, "publicIp": "127.0.0.1" if served else None}


def _show_state(workspace: WorkspaceState, wanted: Wanted, state: str, error: Document | None = None) -> None:
    if _current(workspace, wanted.name).get("generation") != wanted.generation:
        return
    workspace.documents.update(
        "service", wanted.name, lambda service: service.update(state=state, error=error, updatedTime=now())
    )


def _current(workspace: WorkspaceState, name: str) -> Document:
    return _wanted_documents(workspace).get("wanted_service", _key(workspace, name)) or {}


def _wanted_documents(workspace: WorkspaceState) -> Documents:
    return Documents(workspace.emulator.store, "")


def _want(workspace: WorkspaceState, name: str) -> str:
    operation_id = begin_operation(workspace, name)
    wanted = Wanted(
        name=name,
        subscription_id=workspace.subscription_id,
        resource_group=workspace.resource_group,
        workspace=workspace.name,
        generation=uuid.uuid4().hex,
        operation_id=operation_id,
    )
    workspace.documents.delete("service_port", name)
    _wanted_documents(workspace).put("wanted_service", _key(workspace, name), asdict(wanted))
    return operation_id


def _key(workspace: WorkspaceState, name: str) -> str:
    return f"{workspace.id}/{name}"


def _succeeded(workspace: WorkspaceState, name: str) -> str:
    operation_id = begin_operation(workspace, name)
    end_operation(workspace, operation_id)
    return operation_id


def _check_image(workspace: WorkspaceState, image: Any) -> None:
    if not isinstance(image, dict) or not image.get("assets"):
        raise InvalidRequestError("a service needs an inference configuration with an entry script")
    service_files.models_of(workspace, image)


def _new_keys(given: Mapping[str, Any]) -> Document:
    return {name: _checked_key(given[name]) if given.get(name) else _new_key() for name in KEY_NAMES}


def _checked_key(value: Any) -> str:
    if not isinstance(value, str) or not _KEY.match(value):
        raise InvalidRequestError("a key has 1 to 256 printable ASCII characters and no blank")
    return value


def _new_key() -> str:
    return "".join(secrets.choice(_KEY_SIGNS) for _ in range(32))
