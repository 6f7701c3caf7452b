"""The workspace's Key Vault, as `ws.get_default_keyvault()` reaches it: through the credential service, not the vault's host.

Values lie where all of the emulator's state lies, readable by its user alone; they are in no list, log or error.
"""

from __future__ import annotations

import re
from typing import Any

from starlette.responses import Response

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.state import Document
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import WS, JsonBody, Workspace, now
from bankmlops.errors import InvalidRequestError, NotFoundError

router = Router(prefix="/credential/v2.0" + WS)

# https://learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates: the object's name, and 25 KB for a value.
_NAME = re.compile(r"[0-9A-Za-z-]{1,127}\Z")
MAX_VALUE_BYTES = 25 * 1024
MAX_BATCH = 1000


@router.put("/secrets")
def set_secret(workspace: Workspace, body: JsonBody) -> Document:
    """Keep a secret, in place of an earlier value."""
    return _put(workspace, body)


@router.put("/secrets:putbatch")
def set_secrets(workspace: Workspace, body: JsonBody) -> Document:
    """Keep several secrets: all, or none where one is refused."""
    with workspace.documents.store.transaction():
        return {"secrets": [_put(workspace, each) for each in _batch(body)], "notFoundSecrets": []}


@router.get("/secrets")
def list_secrets(workspace: Workspace) -> Document:
    """The names, and no value."""
    return {"value": [{"name": each["name"]} for each in workspace.documents.find("secret")], "continuationToken": None}


@router.get("/secrets/{name}")
def get_secret(workspace: Workspace, name: str) -> Document:
    """One secret with its value, or 404."""
    found = workspace.documents.get("secret", name.lower())
    if found is None:
        raise NotFoundError(f"A secret with (name/id) {name} was not found in this key vault")
    return found


@router.post("/secrets:getbatch")
def get_secrets(workspace: Workspace, body: JsonBody) -> Document:
    """Those of the names that are there, with their values, and the names of the others."""
    names = [str(each.get("name")) for each in _batch(body)]
    found = {name: workspace.documents.get("secret", name.lower()) for name in names}
    return {
        "secrets": [secret for secret in found.values() if secret],
        "notFoundSecrets": [name for name, secret in found.items() if not secret],
    }


@router.delete("/secrets/{name}")
def delete_secret(workspace: Workspace, name: str) -> Response:
    """Forget it; 200 also where it was not there."""
    workspace.documents.delete("secret", name.lower())
    return Response(status_code=200)


@router.post("/secrets:deletebatch")
def delete_secrets(workspace: Workspace, body: JsonBody) -> Response:
    """Forget several."""
    for each in _batch(body):
        workspace.documents.delete("secret", str(each.get("name")).lower())
    return Response(status_code=200)


def _batch(body: Any) -> list[Document]:
    secrets: list[Document] = body.get("secrets") or []
    if len(secrets) > MAX_BATCH:
        raise InvalidRequestError(f"a batch has {MAX_BATCH} secrets at most")
    return secrets


def _put(workspace: WorkspaceState, body: Document) -> Document:
    name, value = str(body.get("name") or ""), body.get("value")
    if not _NAME.match(name):
        raise InvalidRequestError(f"secret name {name[:200]!r}: use 1 to 127 letters, digits and '-'")
    if not isinstance(value, str) or len(value.encode()) > MAX_VALUE_BYTES:
        raise InvalidRequestError(f"secret {name}: its value is a text of {MAX_VALUE_BYTES} bytes at most")
    moment = now()
    known = workspace.documents.get("secret", name.lower()) or {"createdTime": moment}
    kept = {"createdTime": known["createdTime"], "modifiedTime": moment, "contentType": body.get("contentType")}
    workspace.documents.put("secret", name.lower(), {"name": name, "value": value, **kept})
    return {"name": name, **kept}
