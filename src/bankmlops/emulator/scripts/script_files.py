"""Moves a script's data: paths on datastores into its folder before it starts, and what it left into the datastores."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path, PurePosixPath

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.scripts.script_data import Output, Place
from bankmlops.emulator.scripts.script_request import ScriptRequest
from bankmlops.emulator.storage.blobs import Blob, BlobName
from bankmlops.emulator.storage.containers import container_to_read, container_to_write
from bankmlops.emulator.storage.dataflows import dataflow_of_files, dataflow_of_table, has_blocks
from bankmlops.emulator.storage.datasets import register_dataset
from bankmlops.errors import InvalidRequestError

MAX_FILES = 10_000
MAX_FILE_BYTES = 4 << 30
MAX_BYTES = 16 << 30


def check_data(workspace: WorkspaceState, request: ScriptRequest) -> None:
    """See that the data of a run can come and go, before it starts. Raises `InvalidRequestError`, `NotFoundError`."""
    for given in request.inputs:
        if given.place:
            container_to_read(workspace, given.place.datastore)
    for output in request.outputs:
        container_to_write(workspace, output.place.datastore)
        if output.registration:
            _dataset(workspace, output.place, output.registration.transformations)


def bring(workspace: WorkspaceState, place: Place, folder: Path) -> None:
    """Copy what lies at `place`, which may be nothing, to the same path below `folder`.

    Raises `NotFoundError`, and `InvalidRequestError` for what can't be laid out as files.
    """
    account, container = container_to_read(workspace, place.datastore)
    found = [each for each in workspace.emulator.blobs.find(account, container, place.path) if _is_within(each.name, place.path)]
    if len(found) > MAX_FILES or sum(each.size for each in found) > MAX_BYTES:
        limit = f"{MAX_FILES} files of {MAX_BYTES} bytes together"
        raise InvalidRequestError(f"datastore {place.datastore}, path {place.path!r}: a script gets {limit} at most")
    (folder / place.path).parent.mkdir(parents=True, exist_ok=True)
    for blob in _without_folders(found):
        _lay_out(workspace, blob, folder)


def store(workspace: WorkspaceState, output: Output, source: Path) -> None:
    """Put a file at the output's place, or a folder's files below it. Raises `NotFoundError`, `InvalidRequestError`."""
    account, container = container_to_write(workspace, output.place.datastore)
    for relative, file in _files(output.name, source):
        name = "/".join(part for part in (output.place.path, relative) if part)
        workspace.emulator.blobs.put_file(BlobName(account, container, name), file)


def register(workspace: WorkspaceState, output: Output) -> None:
    """Make the next version of the dataset that the output is to become, if any."""
    wanted = output.registration
    if wanted is None:
        return
    kind, dataflow = _dataset(workspace, output.place, wanted.transformations)
    body = {"description": wanted.description, "tags": dict(wanted.tags), "datasetType": kind, "latest": {"dataflow": dataflow}}
    register_dataset(workspace, wanted.name, body)


def _dataset(workspace: WorkspaceState, place: Place, transformations: str) -> tuple[str, str]:
    """The type and the dataflow of the files at a place, as the SDK's text says to read them."""
    if has_blocks(transformations):
        return "tabular", dataflow_of_table(workspace, place, transformations)
    return "file", dataflow_of_files(workspace, place)


def _is_within(name: str, path: str) -> bool:
    return not path or name == path or name.startswith(f"{path}/")


def _without_folders(blobs: Iterable[Blob]) -> list[Blob]:
    """The blobs but for the empty ones that some tools leave in a folder's place."""
    blobs = list(blobs)
    folders = {str(parent) for each in blobs for parent in PurePosixPath(each.name).parents}
    return [each for each in blobs if each.size or not (each.name.endswith("/") or each.name in folders)]


def _lay_out(workspace: WorkspaceState, blob: Blob, folder: Path) -> None:
    target = folder / blob.name
    if not target.resolve().is_relative_to(folder.resolve()):
        raise InvalidRequestError(f"blob {blob.name} points out of its folder")
    try:
        workspace.emulator.blobs.copy_to(blob, target)
    except OSError as error:
        raise InvalidRequestError(f"blob {blob.name} can't be laid out as a file: {error.strerror or error}") from error


def _files(name: str, source: Path) -> list[tuple[str, Path]]:
    """A lone file as "", and the regular files of a folder by their paths in it."""
    if source.is_symlink():
        raise InvalidRequestError(f"output {name} is a link; the script must leave a file or a folder there")
    if source.is_file():
        found = [("", source)]
    else:
        listed = islice(_regular_files(source), MAX_FILES + 1) if source.is_dir() else ()
        found = sorted((file.relative_to(source).as_posix(), file) for file in listed)
    sizes = [file.stat().st_size for _, file in found]
    if len(sizes) > MAX_FILES or max(sizes, default=0) > MAX_FILE_BYTES or sum(sizes) > MAX_BYTES:
        limit = f"{MAX_FILES} files of {MAX_FILE_BYTES} bytes, {MAX_BYTES} together"
        raise InvalidRequestError(f"output {name}: an output has {limit} at most")
    return found


def _regular_files(folder: Path) -> Iterator[Path]:
    """The files below a folder as they are met, without those behind links."""
    folders = [folder]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    yield Path(entry.path)
