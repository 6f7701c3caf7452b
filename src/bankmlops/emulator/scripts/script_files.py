"""Moves a script's data: paths on datastores into its folder before it starts, and what it left into the datastores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.scripts.script_data import Output, Place
from bankmlops.emulator.storage.blobs import BlobName
from bankmlops.emulator.storage.dataflows import dataflow_of_files, dataflow_of_table, has_blocks
from bankmlops.emulator.storage.datasets import register_dataset
from bankmlops.emulator.storage.datastores import get_datastore
from bankmlops.errors import InvalidRequestError

MAX_FILES = 10_000
MAX_FILE_BYTES = 4 << 30


def bring(workspace: WorkspaceState, place: Place, folder: Path) -> None:
    """Copy what lies at `place`, which may be nothing, to the same path below `folder`. Raises `NotFoundError`."""
    account, container = _container(workspace, place)
    blobs = workspace.emulator.blobs
    found = [each for each in blobs.find(account, container, place.path) if _is_within(each.name, place.path)]
    if len(found) > MAX_FILES:
        raise InvalidRequestError(f"datastore {place.datastore}, path {place.path!r}: a script gets {MAX_FILES} files at most")
    (folder / place.path).parent.mkdir(parents=True, exist_ok=True)
    for blob in found:
        target = folder / blob.name
        if not target.resolve().is_relative_to(folder.resolve()):
            raise InvalidRequestError(f"blob {blob.name} points out of its folder")
        blobs.copy_to(blob, target)


def store(workspace: WorkspaceState, output: Output, source: Path) -> None:
    """Put a file at the output's place, or a folder's files below it. Raises `NotFoundError`."""
    account, container = _container(workspace, output.place)
    for relative, file in _files(source):
        name = "/".join(part for part in (output.place.path, relative) if part)
        workspace.emulator.blobs.put_file(BlobName(account, container, name), file)


def register(workspace: WorkspaceState, output: Output) -> None:
    """Make the next version of the dataset that the output is to become, if any."""
    wanted = output.registration
    if wanted is None:
        return
    if has_blocks(wanted.transformations):
        kind, dataflow = "tabular", dataflow_of_table(workspace, output.place, wanted.transformations)
    else:
        kind, dataflow = "file", dataflow_of_files(workspace, output.place)
    body = {"description": wanted.description, "tags": dict(wanted.tags), "datasetType": kind, "latest": {"dataflow": dataflow}}
    register_dataset(workspace, wanted.name, body)


def _container(workspace: WorkspaceState, place: Place) -> tuple[str, str]:
    section = get_datastore(workspace, place.datastore)["azureStorageSection"]
    return str(section["accountName"]), str(section["containerName"])


def _is_within(name: str, path: str) -> bool:
    return not path or name == path or name.startswith(f"{path}/")


def _files(source: Path) -> Iterator[tuple[str, Path]]:
    """A lone file as "", and the regular files of a folder by their paths in it."""
    if source.is_file():
        yield "", source
        return
    for number, file in enumerate(sorted(each for each in source.rglob("*") if each.is_file() and not each.is_symlink())):
        if number >= MAX_FILES or file.stat().st_size > MAX_FILE_BYTES:
            raise InvalidRequestError(f"an output has {MAX_FILES} files of {MAX_FILE_BYTES} bytes at most")
        yield file.relative_to(source).as_posix(), file
