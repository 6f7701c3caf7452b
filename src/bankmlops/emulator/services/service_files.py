"""The folder of one service, laid out as in Azure's container: the user's script and sources, and `azureml-models/NAME/VERSION/`.

Nothing here is executed or unpickled; that is for the service's own process.
"""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bankmlops.emulator.history import artifacts, registry
from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.state import Document
from bankmlops.emulator.storage.blobs import Blob
from bankmlops.errors import InvalidRequestError

APP = "app"
MODELS = "azureml-models"
MAX_UNPACKED_BYTES = 8 << 30
MAX_MEMBERS = 100_000
_ARTIFACT = "aml://artifact/"
_MAIN = "main.py"


def lay_out(workspace: WorkspaceState, request: Mapping[str, Any], folder: Path) -> Path:
    """Write what an `environmentImageRequest` names into `folder`, and answer the app's root in it.

    Raises `NotFoundError` for a model or file that is not there, `InvalidRequestError` for one that can't be used.
    """
    root = folder / APP
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True, mode=0o700)
    for asset in request.get("assets") or []:
        _place_asset(workspace, asset, str(request.get("driverProgram") or ""), root)
    for model in models_of(workspace, request):
        _place_model(workspace, model, root)
    return root


def models_of(workspace: WorkspaceState, request: Mapping[str, Any]) -> list[Document]:
    """The registered models that the request names. Raises `NotFoundError`."""
    return [registry.get_model(workspace, str(model_id)) for model_id in request.get("modelIds") or []]


def model_folder(workspace: WorkspaceState, request: Mapping[str, Any], root: Path) -> Path:
    """`AZUREML_MODEL_DIR`: the one model's own folder, or the folder of all where there are more."""
    models = models_of(workspace, request)
    base = root / MODELS
    return base / models[0]["name"] / str(models[0]["version"]) if len(models) == 1 else base


def _place_asset(workspace: WorkspaceState, asset: Mapping[str, Any], driver: str, root: Path) -> None:
    blob = _blob(workspace, str(asset.get("url") or ""))
    if asset.get("unpack"):
        _unpack(blob.path, root)
        return
    name = _MAIN if asset.get("id") == driver else Path(str(asset.get("id") or "")).name
    if not name:
        raise InvalidRequestError("an asset of the service has no id")
    shutil.copyfile(blob.path, root / name)


def _blob(workspace: WorkspaceState, url: str) -> Blob:
    origin, container, path = _parts(url)
    return artifacts.get_blob(workspace, origin, container, path)


def _parts(url: str) -> tuple[str, str, str]:
    parts = url.removeprefix(_ARTIFACT).split("/", 2)
    if not url.startswith(_ARTIFACT) or len(parts) != 3:
        raise InvalidRequestError(f"asset {url!r} is not an uploaded artifact; the emulator deploys what the SDK uploads")
    return parts[0], parts[1], parts[2]


def _place_model(workspace: WorkspaceState, model: Document, root: Path) -> None:
    target = root / MODELS / model["name"] / str(model["version"])
    target.mkdir(parents=True)
    asset = registry.get_asset(workspace, str(model.get("url") or "").removeprefix(registry.ASSET_URL))
    for artifact in asset.get("artifacts") or []:
        origin, container, prefix = str(artifact.get("prefix") or artifact.get("id")).split("/", 2)
        _copy_artifacts(workspace, origin, container, prefix, target)
    if model.get("unpack"):
        for archive in [path for path in target.iterdir() if tarfile.is_tarfile(path)]:
            _unpack(archive, target)
            archive.unlink()


def _copy_artifacts(workspace: WorkspaceState, origin: str, container: str, prefix: str, target: Path) -> None:
    stripped = Path(prefix.strip("/")).parent
    paths = artifacts.list_paths(workspace, origin, container, prefix)
    if not paths:
        raise InvalidRequestError(f"the model's files {origin}/{container}/{prefix} are not there; register it anew")
    for path in paths:
        file = _inside(target, Path(path).relative_to(stripped))
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(artifacts.get_blob(workspace, origin, container, path).path, file)


def _inside(folder: Path, relative: Path) -> Path:
    file = (folder / relative).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise InvalidRequestError(f"file {relative} points out of its folder")
    return file


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with tarfile.open(archive) as tar:
            size = 0
            for number, member in enumerate(tar):
                size += member.size
                if size > MAX_UNPACKED_BYTES or number >= MAX_MEMBERS:
                    raise InvalidRequestError(f"the archive holds more than {MAX_UNPACKED_BYTES} bytes or {MAX_MEMBERS} files")
            _extract(tar, folder)
    except tarfile.TarError as error:
        raise InvalidRequestError(f"an uploaded archive can't be unpacked: {error}") from error


def _extract(tar: tarfile.TarFile, folder: Path) -> None:
    """Files and folders that stay inside; Python's own filter, which also knows links, came with 3.11.4."""
    if hasattr(tarfile, "data_filter"):
        tar.extractall(folder, filter="data")
        return
    for member in tar.getmembers():
        if not member.isfile() and not member.isdir():
            raise InvalidRequestError(f"the archive's {member.name} is no file; links need Python 3.11.4 or newer")
        _inside(folder, Path(member.name))
        member.mode = 0o700 if member.isdir() else 0o600
        tar.extract(member, folder)
