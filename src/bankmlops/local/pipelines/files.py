"""The files of a pipeline step: its log, and what it gives besides text. They lie in the workspace, in a folder for each step.

A file among a step's outputs is written as `file:PATH#SHA256`, the path relative to the workspace; so the content is part of what
a later step's result depends on, wherever it lies.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bankmlops.errors import NotFoundError
from bankmlops.local.disk import disk_errors, make_private_folder
from bankmlops.local.log_tail import last_lines
from bankmlops.local.workspace import LocalWorkspace

KIND = "pipeline-runs"
_LOG_LINES = 5000
_READABLE = (KIND, "datasets")
_FILE = re.compile(r"file:([^#]{1,1000})#([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class FileOutput:
    """A file that a step gave; `path` is relative to the workspace."""

    path: str
    sha256: str

    def __str__(self) -> str:
        return f"file:{self.path}#{self.sha256}"


def read_file_output(value: object) -> FileOutput | None:
    """The file that an output or input is; None where it is something else."""
    found = _FILE.fullmatch(value) if isinstance(value, str) else None
    return FileOutput(found[1], found[2]) if found else None


def file_output(workspace: LocalWorkspace, path: Path) -> FileOutput:
    """A file below the workspace, as an output."""
    with disk_errors(path), path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return FileOutput(path.relative_to(workspace.folder).as_posix(), digest)


def path_of(workspace: LocalWorkspace, output: FileOutput) -> Path:
    """Where the file lies. Raises `NotFoundError` where it is gone, or where no step could have put it there."""
    path = (workspace.folder / output.path).resolve()
    roots = [(workspace.folder / kind).resolve() for kind in _READABLE]
    if not path.is_file() or not any(path.is_relative_to(root) for root in roots):
        raise NotFoundError(f"the file {output.path} of an earlier step is gone; run that step again")
    return path


def copy_output(workspace: LocalWorkspace, output: FileOutput, to: Path) -> Path:
    """Copy the file into the folder `to`, under its own name."""
    with disk_errors(to):
        to.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copyfile(path_of(workspace, output), to / Path(output.path).name))


@dataclass(frozen=True, slots=True)
class StepFolder:
    """The folder of one step of one run; nothing is made before it is needed."""

    workspace: LocalWorkspace
    run_id: str
    step: str

    @property
    def path(self) -> Path:
        """Where it is, made or not."""
        return self.workspace.path_of(KIND, self.run_id) / self.step

    @property
    def log(self) -> Path:
        """What the step said."""
        return self.path / "log.txt"

    def make(self) -> Path:
        """The folder, private (0700)."""
        self.workspace.folder_of(KIND, self.run_id)
        make_private_folder(self.path)
        return self.path

    def outputs(self) -> Path:
        """An empty folder for the step's files: what an attempt before left there is gone."""
        folder = self.make() / "outputs"
        with disk_errors(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
        return folder

    def say(self, line: str) -> None:
        """Add a line to the log, with the moment."""
        self.make()
        text = f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {' '.join(line.split())}\n"
        with disk_errors(self.log):
            descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "a", encoding="utf-8") as stream:
                stream.write(text)

    def lines(self) -> Sequence[str]:
        """The newest lines of the log, oldest first."""
        return last_lines(self.log, _LOG_LINES)
