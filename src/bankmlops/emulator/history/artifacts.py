"""Artifacts: the files of runs, models and snapshots. Their bytes are blobs that the client reaches by signed URLs."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from bankmlops.emulator.automl.trial_model_jobs import wait_for_file
from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.state import Document
from bankmlops.emulator.storage.blob_wire import receive
from bankmlops.emulator.storage.blobs import Blob, BlobName
from bankmlops.emulator.storage.storage_auth import signed_url
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import WS, JsonBody, Workspace, now
from bankmlops.errors import NotFoundError

router = Router(prefix="/artifact/v2.0" + WS + "/artifacts")

CONTAINER = "azureml"
RUN_ORIGIN = "ExperimentRun"
_LOG_FOLDERS = ("azureml-logs/", "user_logs/", "logs/", "system_logs/")


@router.post("/metadata")
async def create(workspace: Workspace, body: JsonBody) -> Document:
    """One artifact, its bytes to follow."""
    return _register(workspace, body["origin"], body["container"], body["path"])


@router.post("/batch/metadata/{origin}/{container}")
@router.post("/batch/metadata/{origin}/{container}/{path:path}")
async def create_batch(workspace: Workspace, origin: str, container: str, body: JsonBody) -> Document:
    """Several artifacts, and the signed URLs that their bytes are to be written to."""
    made = {each["path"]: _register(workspace, origin, container, each["path"]) for each in body["paths"]}
    contents = {path: _content_information(workspace, artifact, "rcw") for path, artifact in made.items()}
    return {"artifacts": made, "artifactContentInformation": contents, "errors": {}}


@router.get("/metadata/{origin}/{container}/{path:path}")
async def get_metadata(workspace: Workspace, origin: str, container: str, path: str) -> Document:
    """One artifact."""
    return _existing(workspace, origin, container, path)


@router.delete("/metadata/{origin}/{container}/{path:path}")
def delete(workspace: Workspace, origin: str, container: str, path: str) -> Response:
    """Take one artifact and its bytes away."""
    _existing(workspace, origin, container, path)
    workspace.documents.delete("artifact", _key(origin, container, path))
    workspace.emulator.blobs.delete(blob_name(workspace, origin, container, path))
    return Response(status_code=200)


@router.get("/contentinfo/{origin}/{container}/{path:path}")
async def get_content_information(workspace: Workspace, origin: str, container: str, path: str) -> Document:
    """A signed URL to read one artifact by; a trial's model is fitted when it is first asked for."""
    return _content_information(workspace, await _with_bytes(workspace, _existing(workspace, origin, container, path)), "r")


@router.get("/write/{origin}/{container}/{path:path}")
async def get_write_url(workspace: Workspace, origin: str, container: str, path: str) -> Document:
    """A signed URL to write one artifact by."""
    return _content_information(workspace, _register(workspace, origin, container, path), "rcw")


@router.get("/prefix/contentinfo/{origin}/{container}")
@router.get("/prefix/contentinfo/{origin}/{container}/{path:path}")
async def list_content_information(workspace: Workspace, origin: str, container: str, path: str = "") -> Document:
    """Signed URLs to all artifacts under a path."""
    found = [await _with_bytes(workspace, each) for each in _under(workspace, origin, container, path)]
    return {"value": [_content_information(workspace, each, "r") for each in found], "continuationToken": None, "nextLink": None}


@router.get("/content/{origin}/{container}/{path:path}")
async def download(workspace: Workspace, origin: str, container: str, path: str) -> Response:
    """The bytes of one artifact."""
    await _with_bytes(workspace, _existing(workspace, origin, container, path))
    return FileResponse(get_blob(workspace, origin, container, path).path, media_type="application/octet-stream")


@router.post("/content/{origin}/{container}/{path:path}")
async def upload(workspace: Workspace, origin: str, container: str, path: str, request: Request) -> Document:
    """One artifact with its bytes."""
    incoming = await receive(workspace.emulator.blobs, request)
    workspace.emulator.blobs.keep(incoming, blob_name(workspace, origin, container, path))
    return _register(workspace, origin, container, path)


@router.get("/{origin}/{container}")
@router.get("/{origin}/{container}/{path:path}")
async def list_artifacts(workspace: Workspace, origin: str, container: str, path: str = "") -> Document:
    """The artifacts of a container, under a path if one is given; who names one, as a registration does, will read it."""
    found = _under(workspace, origin, container, path)
    named = [await _with_bytes(workspace, each) for each in found if each["path"] == path]
    return {"value": named or found, "continuationToken": None, "nextLink": None}


def put_artifact(workspace: WorkspaceState, origin: str, container: str, path: str, content: bytes) -> Document:
    """Store bytes as an artifact; a run's origin is `RUN_ORIGIN` and its container the run's `dataContainerId`."""
    workspace.emulator.blobs.put(blob_name(workspace, origin, container, path), content)
    return _register(workspace, origin, container, path)


def put_artifact_file(workspace: WorkspaceState, origin: str, container: str, path: str, file: Path) -> Document:
    """Store a copy of a file as an artifact."""
    workspace.emulator.blobs.put_file(blob_name(workspace, origin, container, path), file)
    return _register(workspace, origin, container, path)


def put_run_file(workspace: WorkspaceState, run_id: str, path: str, file: Path) -> Document:
    """Store a copy of a file among the files of a run."""
    return put_artifact_file(workspace, RUN_ORIGIN, f"dcid.{run_id}", path, file)


def put_run_text(workspace: WorkspaceState, run_id: str, path: str, text: str) -> Document:
    """Store text among the files of a run."""
    return put_artifact(workspace, RUN_ORIGIN, f"dcid.{run_id}", path, text.encode())


def promise_run_files(workspace: WorkspaceState, run_id: str, paths: Iterable[str]) -> None:
    """List files among those of a run whose bytes are made when they are first asked for (`trial_model_jobs`)."""
    for path in paths:
        _register(workspace, RUN_ORIGIN, f"dcid.{run_id}", path)


def get_blob(workspace: WorkspaceState, origin: str, container: str, path: str) -> Blob:
    """The blob behind an artifact. Raises `NotFoundError`."""
    found = workspace.emulator.blobs.get(blob_name(workspace, origin, container, path))
    if found is None:
        raise NotFoundError(f"artifact {origin}/{container}/{path} has no content")
    return found


def list_paths(workspace: WorkspaceState, origin: str, container: str, prefix: str = "") -> list[str]:
    """The paths of the artifacts under a folder."""
    return [str(each["path"]) for each in _under(workspace, origin, container, prefix)]


def blob_name(workspace: WorkspaceState, origin: str, container: str, path: str) -> BlobName:
    """Where an artifact's bytes are."""
    return BlobName(workspace.account, CONTAINER, _key(origin, container, path))


def log_urls(workspace: WorkspaceState, container: str) -> dict[str, str]:
    """Signed URLs to a run's logs, by path."""
    found = [each for each in _under(workspace, RUN_ORIGIN, container, "") if each["path"].startswith(_LOG_FOLDERS)]
    return {each["path"]: _content_information(workspace, each, "r")["contentUri"] for each in found}


def _key(origin: str, container: str, path: str) -> str:
    return f"{origin}/{container}/{_plain(path)}"


def _plain(path: str) -> str:
    """A path without "./", which the SDK puts before the files of ./outputs and a client's URL leaves out."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def _register(workspace: WorkspaceState, origin: str, container: str, path: str) -> Document:
    key = _key(origin, container, path)
    artifact: Document = {
        "artifactId": key,
        "origin": origin,
        "container": container,
        "path": _plain(path),
        "etag": None,
        "createdTime": now(),
        "dataPath": None,
        "tags": {},
    }
    workspace.documents.put("artifact", key, artifact, group=f"{origin}/{container}")
    return artifact


def _existing(workspace: WorkspaceState, origin: str, container: str, path: str) -> Document:
    found = workspace.documents.get("artifact", _key(origin, container, path))
    if found is None:
        raise NotFoundError(f"artifact {origin}/{container}/{path} was not found")
    return found


async def _with_bytes(workspace: WorkspaceState, artifact: Document) -> Document:
    name = blob_name(workspace, artifact["origin"], artifact["container"], artifact["path"])
    is_there = partial(_has_content, workspace, name)
    await wait_for_file(workspace, artifact["container"], artifact["path"], is_there)
    return artifact


def _has_content(workspace: WorkspaceState, name: BlobName) -> bool:
    return workspace.emulator.blobs.get(name) is not None


def _under(workspace: WorkspaceState, origin: str, container: str, path: str) -> list[Document]:
    prefix = _plain(path)
    found = workspace.documents.find("artifact", f"{origin}/{container}")
    return [each for each in found if not prefix or each["path"] == prefix or each["path"].startswith(prefix + "/")]


def _content_information(workspace: WorkspaceState, artifact: Document, permissions: str) -> Document:
    name = blob_name(workspace, artifact["origin"], artifact["container"], artifact["path"])
    return {
        "contentUri": signed_url(name, workspace.account_key, permissions),
        "origin": artifact["origin"],
        "container": artifact["container"],
        "path": artifact["path"],
        "tags": {},
    }
