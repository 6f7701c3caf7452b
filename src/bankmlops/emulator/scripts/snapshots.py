"""Snapshots: a source folder at a moment. The SDK sends the files that changed since a parent snapshot, and the tree of all."""

from __future__ import annotations

import shutil
import tempfile
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.responses import Response

from bankmlops.emulator.history.artifacts import CONTAINER
from bankmlops.emulator.instance import BLOB_SUFFIX, WorkspaceState
from bankmlops.emulator.state import Document
from bankmlops.emulator.storage.blobs import BlobName
from bankmlops.emulator.storage.storage_auth import signed_url
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import WS, JsonBody, Workspace, now
from bankmlops.errors import InvalidRequestError, NotFoundError

router = Router()

EMPTY = "00000000-0000-0000-0000-000000000000"
MAX_FILES = 2000
MAX_DEPTH = 64
_ONE = "/content/v1.0" + WS + "/snapshots"
_TWO = "/content/v2.0" + WS + "/snapshots"
_FOLDER = "Snapshots"


@router.get(_ONE + "/latest/metadata")
def get_latest() -> Document:
    """The empty snapshot, so that a client without a cache of its own sends all its files."""
    root = {"name": "", "hash": "", "type": "Directory", "timestamp": now(), "children": {}}
    return {"id": EMPTY, "root": root}


@router.get(_ONE + "/{snapshot_id}/metadata")
@router.get(_TWO + "/{snapshot_id}/metadata")
def get_metadata(workspace: Workspace, snapshot_id: str) -> Document:
    """The tree of one snapshot."""
    snapshot = find_snapshot(workspace, snapshot_id)
    return {
        "id": snapshot_id,
        "root": snapshot["root"],
        "properties": snapshot["properties"],
        "createdTime": snapshot["createdTime"],
    }


@router.post(_TWO + "/getblob")
def get_upload_urls(workspace: Workspace, body: JsonBody) -> Document:
    """A signed URL for each file that is to be sent."""
    names = body.get("FileNames") or []
    if len(names) > MAX_FILES:
        raise InvalidRequestError(f"a snapshot may have {MAX_FILES} new files at most")
    folder = f"{_FOLDER}/{uuid.uuid4()}"
    blobs = {name: BlobName(workspace.account, CONTAINER, f"{folder}/{name}") for name in names}
    urls = {name: signed_url(blob, workspace.account_key, "rcw") for name, blob in blobs.items()}
    return {"fileNodes": [{"fullName": name, "blobUri": url} for name, url in urls.items()]}


@router.post(_TWO + "/{snapshot_id}")
def create(workspace: Workspace, snapshot_id: str, body: JsonBody) -> Response:
    """Keep the tree; its files are those just sent, and the parent's where they did not change. 404 for an unknown parent."""
    parent = body.get("ParentSnapshotId") or EMPTY
    known: dict[str, str] = dict(find_snapshot(workspace, parent)["files"]) if parent != EMPTY else {}
    revisions = (body.get("FileRevisionList") or {}).get("FileNodes") or []
    known.update({_plain(each["FullName"]): _blob_of(workspace, each["BlobUri"]) for each in revisions})
    root = body.get("DirTreeNode") or {}
    files = {path: known[path] for path in _paths(root, "", 0) if path in known}
    document = {"id": snapshot_id, "root": root, "files": files, "properties": body.get("Properties") or {}, "createdTime": now()}
    workspace.documents.put("snapshot", snapshot_id, document)
    return Response(status_code=200)


@router.post(_TWO + "/{snapshot_id}/zip")
def get_zip(workspace: Workspace, snapshot_id: str) -> Document:
    """A signed URL to all files in one archive."""
    name = BlobName(workspace.account, CONTAINER, f"{_FOLDER}/zip/{snapshot_id}.zip")
    if workspace.emulator.blobs.get(name) is None:
        _write_zip(workspace, find_snapshot(workspace, snapshot_id)["files"], name)
    return {"zipSasUri": signed_url(name, workspace.account_key, "r")}


def find_snapshot(workspace: WorkspaceState, snapshot_id: str) -> Document:
    """The snapshot. Raises `NotFoundError`."""
    if snapshot_id == EMPTY:
        return {**get_latest(), "files": {}, "properties": {}, "createdTime": now()}
    found = workspace.documents.get("snapshot", snapshot_id)
    if found is None:
        raise NotFoundError(f"snapshot {snapshot_id} is not in workspace {workspace.name}")
    return found


def lay_out_snapshot(workspace: WorkspaceState, snapshot_id: str, folder: Path) -> None:
    """Write the snapshot's files into `folder`. Raises `NotFoundError`, and `InvalidRequestError` for a path out of it."""
    for path, blob_name in find_snapshot(workspace, snapshot_id)["files"].items():
        target = (folder / path).resolve()
        if not target.is_relative_to(folder.resolve()):
            raise InvalidRequestError(f"snapshot file {path} points out of its folder")
        blob = workspace.emulator.blobs.get(BlobName(workspace.account, CONTAINER, blob_name))
        if blob is None:
            raise NotFoundError(f"snapshot file {path} has no content")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(blob.path, target)


def _paths(node: Mapping[str, Any], above: str, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        raise InvalidRequestError(f"a snapshot may be {MAX_DEPTH} folders deep at most")
    for name, child in (node.get("children") or {}).items():
        path = f"{above}/{name}" if above else str(name)
        if child.get("type") == "Directory":
            yield from _paths(child, path, depth + 1)
        else:
            yield path


def _plain(path: str) -> str:
    return path.replace("\\", "/").lstrip("/")


def _blob_of(workspace: WorkspaceState, url: str) -> str:
    parts = urlsplit(url)
    container, _, name = unquote(parts.path).lstrip("/").partition("/")
    is_ours = parts.hostname == workspace.account + BLOB_SUFFIX and container == CONTAINER and name.startswith(f"{_FOLDER}/")
    if not is_ours or workspace.emulator.blobs.get(BlobName(workspace.account, CONTAINER, name)) is None:
        raise InvalidRequestError(f"{parts.hostname}{parts.path} is no file that was sent for a snapshot")
    return name


def _write_zip(workspace: WorkspaceState, files: Mapping[str, str], name: BlobName) -> None:
    blobs = workspace.emulator.blobs
    with tempfile.TemporaryDirectory(dir=workspace.emulator.folder) as folder:
        path = Path(folder) / "snapshot.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file, blob_name in files.items():
                blob = blobs.get(BlobName(workspace.account, CONTAINER, blob_name))
                if blob is None:
                    raise NotFoundError(f"snapshot file {file} has no content")
                archive.write(blob.path, file)
        blobs.put_file(name, path, "application/zip")
