"""What a script is given and what it leaves, read from a run definition: datasets, paths on datastores, and output folders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from bankmlops.emulator.state import Document
from bankmlops.emulator.storage.datasets import MAX_NAME
from bankmlops.emulator.storage.datastores import DEFAULT_DATASTORE
from bankmlops.errors import InvalidRequestError

DIRECT = "direct"
MOUNT = "mount"
_DELIVERED = (MOUNT, "download")
_STORED = (MOUNT, "upload")
_NAME = re.compile(r"[A-Za-z0-9_]{1,100}\Z")
_VARIABLE = re.compile(r"[^=\0]{1,1000}\Z")
_OUTPUT_PATH = "dataset/{run-id}/{output-name}"


@dataclass(frozen=True, slots=True)
class Place:
    """A blob or a folder of blobs; `path` has no slash at either end."""

    datastore: str
    path: str


@dataclass(frozen=True, slots=True)
class Input:
    """Data that a script gets: the id of a dataset where `mechanism` is "direct", otherwise the files of a dataset or a place."""

    name: str
    variable: str
    mechanism: str
    dataset_id: str = ""
    place: Place | None = None
    reference: str = ""

    @property
    def is_direct(self) -> bool:
        """Whether the script is given the id alone, and reads for itself."""
        return self.mechanism == DIRECT

    def value(self, folder: str) -> str:
        """What the script is given: the id, or where below `folder` the files lie."""
        if self.is_direct:
            return self.dataset_id
        return str(PurePosixPath(folder) / self.name / (self.place.path if self.place else ""))


@dataclass(frozen=True, slots=True)
class Registration:
    """The dataset that an output becomes; `transformations` is the SDK's JSON of how to read it as a table, "" for files."""

    name: str
    description: str
    tags: Mapping[str, str]
    transformations: str


@dataclass(frozen=True, slots=True)
class Output:
    """A folder, or a file, that a script leaves at `on_compute` ("" is a path of the emulator's) and that goes to `place`.

    `on_compute` is relative to the working directory. `is_made` says whether the folder is there when the script starts.
    """

    name: str
    place: Place
    on_compute: str
    is_made: bool
    registration: Registration | None

    def value(self, folder: str) -> str:
        """Where the script writes."""
        return self.on_compute or str(PurePosixPath(folder) / self.name)


def parse_inputs(configuration: Document) -> tuple[Input, ...]:
    """The datasets and data references of a run definition. Raises `InvalidRequestError`."""
    datasets = [_input(name, data) for name, data in (configuration.get("data") or {}).items()]
    references = [_reference(name, data) for name, data in (configuration.get("dataReferences") or {}).items()]
    return (*datasets, *references)


def parse_outputs(configuration: Document, run_id: str) -> tuple[Output, ...]:
    """The output datasets of a run definition. Raises `InvalidRequestError`."""
    return tuple(_output(name, data, run_id) for name, data in (configuration.get("outputData") or {}).items())


def _input(name: str, data: Document) -> Input:
    mechanism = str(data.get("mechanism") or DIRECT).lower()
    location = data.get("dataLocation") or {}
    dataset = (location.get("dataset") or {}).get("id")
    path = location.get("dataPath") or {}
    place = _place(path.get("datastoreName"), path.get("relativePath")) if path else None
    known = mechanism in _DELIVERED if place else dataset and mechanism in (DIRECT, *_DELIVERED)
    if not _NAME.match(name) or not known:
        raise InvalidRequestError(f"input {name!r}: give a registered or saved dataset, direct, as_mount() or as_download()")
    variable = str(data.get("environmentVariableName") or name)
    if not _VARIABLE.match(variable):
        raise InvalidRequestError(f"input {name!r}: environmentVariableName {variable!r}: give a variable's name, without '='")
    return Input(name, variable, mechanism, str(dataset or ""), place, str(data.get("referenceName") or ""))


def _reference(name: str, data: Document) -> Input:
    mode = str(data.get("mode") or MOUNT).lower()
    if not _NAME.match(name) or mode not in _DELIVERED:
        raise InvalidRequestError(f"data reference {name!r}: mode {mode!r} is not emulated; use as_mount() or as_download()")
    return Input(name, name, mode, place=_place(data.get("dataStoreName"), data.get("pathOnDataStore")))


def _output(name: str, data: Document, run_id: str) -> Output:
    mechanism = str(data.get("mechanism") or MOUNT).lower()
    if not _NAME.match(name) or mechanism not in _STORED:
        raise InvalidRequestError(f"output {name!r}: {mechanism!r} is not emulated; use as_mount() or as_upload()")
    options = data.get("additionalOptions") or {}
    path = ((data.get("outputLocation") or {}).get("dataPath")) or {}
    wanted = str(path.get("relativePath") or _OUTPUT_PATH).replace("{run-id}", run_id).replace("{output-name}", name)
    return Output(
        name=name,
        place=_place(path.get("datastoreName"), wanted),
        on_compute=_path_on_compute(name, str(options.get("pathOnCompute") or "")),
        is_made=bool(data.get("isMade", True)),
        registration=_registration(name, options.get("registrationOptions") or {}),
    )


def _path_on_compute(name: str, text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or "\0" in text:
        raise InvalidRequestError(f"output {name!r}: pathOnCompute {text!r}: give a relative path, without '..'")
    return text


def _registration(output: str, options: Document) -> Registration | None:
    name, tags = str(options.get("name") or ""), options.get("tags") or {}
    if not name:
        return None
    if len(name) > MAX_NAME or not isinstance(tags, dict):
        raise InvalidRequestError(
            f"output {output!r}: a dataset's name has {MAX_NAME} characters at most, its tags are an object"
        )
    reading = (options.get("datasetRegistrationOptions") or {}).get("additionalTransformation")
    return Registration(name, str(options.get("description") or ""), tags, str(reading or ""))


def _place(datastore: Any, path: Any) -> Place:
    parts = PurePosixPath(str(path or "").strip("/"))
    if ".." in parts.parts:
        raise InvalidRequestError(f"path {path!r}: give a path below the datastore, without '..'")
    return Place(str(datastore or DEFAULT_DATASTORE), "" if str(parts) == "." else str(parts))
