"""From SDK v2's tables to SDK v1's datasets: an MLTable file says what a dataflow says, with paths as seen from its folder."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from bankmlops.emulator.automl.training_data import locate
from bankmlops.emulator.instance import BLOB_SUFFIX, WorkspaceState
from bankmlops.emulator.sdk_v2.data import find_version
from bankmlops.emulator.storage import datasets
from bankmlops.emulator.storage.blobs import BlobName
from bankmlops.errors import InvalidRequestError, NotFoundError

FILE = "MLTable"
MAX_FILE_BYTES = 1 << 20
_ASSET = re.compile(r"(?:azureml:)?(?:/subscriptions/.*/data/)?(?P<name>[^/:@]+)(?:/versions/|:)(?P<version>[^/:@]+)\Z")
_BLOB = re.compile(rf"https://(?P<account>[^./]+){re.escape(BLOB_SUFFIX)}/(?P<container>[^/]+)/(?P<path>[^?#]*)\Z")


def saved_dataset(workspace: WorkspaceState, uri: str) -> str:
    """The id of the saved dataset that reads as the MLTable does: a data asset, or a folder of a datastore or of blob storage.

    Raises `NotFoundError` where there is none, `InvalidRequestError` where it is no MLTable.
    """
    folder = _folder(workspace, uri)
    table = _table_file(workspace, folder)
    table["paths"] = [_absolute(folder, entry) for entry in table["paths"]]
    return _save(workspace, table)


def _folder(workspace: WorkspaceState, uri: str) -> str:
    found = _ASSET.match(uri)
    if found is None:
        return _address(uri).rstrip("/")
    properties = find_version(workspace, found["name"], found["version"])["properties"]
    if properties["dataType"] != "mltable":
        raise InvalidRequestError(f"data asset {found['name']} is a {properties['dataType']}; AutoML trains on an mltable")
    return _address(properties["dataUri"]).rstrip("/")


def _address(uri: str) -> str:
    """The address in the words that dataflows have for it."""
    found = _BLOB.match(uri)
    return f"wasbs://{found['container']}@{found['account']}{BLOB_SUFFIX}/{found['path']}" if found else uri


def _table_file(workspace: WorkspaceState, folder: str) -> dict[str, Any]:
    import yaml

    account, container, path = locate(workspace, f"{folder}/{FILE}")
    blob = workspace.emulator.blobs.get(BlobName(account, container, path))
    if blob is None:
        raise NotFoundError(f"{folder} has no file {FILE}; give the folder of an MLTable")
    if blob.size > MAX_FILE_BYTES:
        raise InvalidRequestError(f"{folder}/{FILE} has more than {MAX_FILE_BYTES} bytes")
    try:
        table = yaml.safe_load(blob.path.read_text("utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"{folder}/{FILE} is not YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(table, dict) or not isinstance(table.get("paths"), list):
        raise InvalidRequestError(f"{folder}/{FILE} names no paths")
    return table


def _absolute(folder: str, entry: Any) -> dict[str, str]:
    if not isinstance(entry, Mapping) or len(entry) != 1 or not isinstance(next(iter(entry.values())), str):
        raise InvalidRequestError(f"{folder}/{FILE}: a path is one of `file:`, `folder:` or `pattern:`")
    kind, path = next(iter(entry.items()))
    if "://" in path:
        return {str(kind): _address(path)}
    inside = posixpath.normpath(path.replace("\\", "/"))
    if inside.startswith(("..", "/")):
        raise InvalidRequestError(f"{folder}/{FILE}: path {path!r} is not in the table's folder, and so is not in storage")
    return {str(kind): folder if inside == "." else f"{folder}/{quote(inside, safe='/*?[]')}"}


def _save(workspace: WorkspaceState, table: Mapping[str, Any]) -> str:
    import yaml

    known = {name: table[name] for name in ("paths", "transformations") if table.get(name)}
    dataflow = yaml.safe_dump({"type": "mltable", **known}, sort_keys=False)
    body = {"datasetType": "tabular", "dataflowJson": json.dumps({"blocks": [], "meta": {"RsDataflow": dataflow}})}
    return str(datasets.save(workspace, body)["id"])
