"""The Python that function steps call, kept in the workspace by its content's hash: what is published runs as it was."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from bankmlops.errors import InvalidRequestError
from bankmlops.local.disk import disk_errors, make_private_folder
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.pipelines import Pipeline, Step
from bankmlops.pipelines.kinds import FUNCTION
from bankmlops.pipelines.validation import InvalidPipelineError

_KIND = "pipeline-sources"
_HASH = re.compile(r"[0-9a-f]{64}")
_MAXIMUM_FILES = 500
_MAXIMUM_BYTES = 20 * 1024 * 1024


def keep_sources(workspace: LocalWorkspace, pipeline: Pipeline) -> Pipeline:
    """The pipeline with the hash in the place of each path, the files copied. Raises `InvalidRequestError`."""
    return replace(pipeline, steps=tuple(_kept(workspace, step) for step in pipeline.steps))


def check_sources(workspace: LocalWorkspace, pipeline: Pipeline) -> None:
    """Raises `InvalidRequestError` where a step names anything but source that is kept: a caller brings no path."""
    for step in pipeline.steps:
        if step.kind == FUNCTION and not _is_kept(workspace, step.source):
            raise InvalidRequestError(f"step {step.name!r}: its source is not in this workspace; submit or publish it here")


def source_folder(workspace: LocalWorkspace, source: str) -> Path:
    """Where the files of a kept source are."""
    return workspace.path_of(_KIND, source)


def _is_kept(workspace: LocalWorkspace, source: str) -> bool:
    return _HASH.fullmatch(source) is not None and source_folder(workspace, source).is_dir()


def _kept(workspace: LocalWorkspace, step: Step) -> Step:
    if step.kind != FUNCTION or _is_kept(workspace, step.source):
        return step
    try:
        files = _files(Path(step.source).expanduser())
        _check_module(step, files)
    except InvalidRequestError as error:
        raise InvalidPipelineError(f"step {step.name!r}: {error}", "steps", step.name, "source") from None
    digest = _hash(files)
    _copy(workspace, digest, files)
    return replace(step, source=digest)


def _files(source: Path) -> Mapping[str, bytes]:
    """The content of each file by its path in the source; hidden files, caches and links are left out."""
    if not source.exists():
        raise InvalidRequestError(f"source {str(source)!r} is not there; name the file or folder that the function is in")
    if source.is_file():
        return {source.name: _content(source, _MAXIMUM_BYTES)}
    found: dict[str, bytes] = {}
    left = _MAXIMUM_BYTES
    for path in _walk(source):
        if len(found) == _MAXIMUM_FILES:
            raise InvalidRequestError(f"source {str(source)!r} has more than {_MAXIMUM_FILES} files; name a smaller folder")
        content = _content(path, left)
        left -= len(content)
        found[path.relative_to(source).as_posix()] = content
    return found


def _walk(source: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        paths = (Path(folder) / name for name in sorted(names) if not name.startswith("."))
        yield from (path for path in paths if path.is_file() and not path.is_symlink())


def _content(path: Path, most: int) -> bytes:
    with disk_errors(path):
        if path.stat().st_size > most:
            raise InvalidRequestError(
                f"the source of a step may have {_MAXIMUM_BYTES // 1024 // 1024} MiB at most; {path} is too much"
            )
        return path.read_bytes()


def _check_module(step: Step, files: Mapping[str, bytes]) -> None:
    module = step.function.partition(":")[0].replace(".", "/")
    if f"{module}.py" not in files and f"{module}/__init__.py" not in files:
        raise InvalidRequestError(f"function {step.function!r}: its source has no {module}.py")


def _hash(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\x00{len(content)}\x00".encode())
        digest.update(content)
    return digest.hexdigest()


def _copy(workspace: LocalWorkspace, digest: str, files: Mapping[str, bytes]) -> None:
    """Whole or not at all: the folder gets its name when all is in it."""
    target = source_folder(workspace, digest)
    waiting = workspace.folder_of(_KIND, f"new-{secrets.token_hex(8)}")
    try:
        with disk_errors(waiting):
            for name, content in files.items():
                make_private_folder((waiting / name).parent)
                (waiting / name).write_bytes(content)
            if not target.exists():
                waiting.rename(target)
    except OSError:
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(waiting, ignore_errors=True)
