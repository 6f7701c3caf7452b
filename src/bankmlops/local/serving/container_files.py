"""What an endpoint's folder holds for its runtime: which one it is, and what a container sees of the folder.

A container's user is often none of this machine's. So it is given what anyone could read, in folders that nobody else gets to:
the endpoint's own folder is its owner's alone, and the engine mounts what lies below it.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from bankmlops.local.disk import disk_errors, write_private_json
from bankmlops.types import Runtime

_SETTINGS = "service.json"
_READABLE = 0o644
_OPEN = 0o755
_WRITABLE = 0o777


@dataclass(frozen=True, slots=True)
class RuntimeRecord:
    """What serves an endpoint, why, and for a container its engine's command, its name and its port on this machine."""

    runtime: Runtime = Runtime.PROCESS
    reason: str = ""
    engine: str = ""
    container: str = ""
    port: int = 0


def write_record(folder: Path, record: RuntimeRecord) -> None:
    """Keep the record in an endpoint's folder."""
    write_private_json(_record_file(folder), asdict(record))


def read_record(folder: Path) -> RuntimeRecord:
    """The record of an endpoint's folder; one without a readable record has a process."""
    try:
        document = json.loads(_record_file(folder).read_text())
        return RuntimeRecord(**{**document, "runtime": Runtime(document["runtime"])})
    except (OSError, ValueError, KeyError, TypeError):
        return RuntimeRecord()


def service_folder(folder: Path) -> Path:
    """What is mounted at /service: `service.json` alone."""
    return folder / "service"


def state_folder(folder: Path) -> Path:
    """What is mounted at /state, where the container may write."""
    return folder / "state"


def models_folder(folder: Path) -> Path:
    """What is mounted at /model: a folder for each model that the endpoint served."""
    return folder / "models"


def open_to_container(folder: Path) -> None:
    """Make what the container sees: the settings' copy, models that it can read, and the one folder that it may write to."""
    with disk_errors(folder):
        for path, mode in ((service_folder(folder), _OPEN), (state_folder(folder), _WRITABLE)):
            path.mkdir(exist_ok=True)
            path.chmod(mode)
    show_settings(folder)


def show_settings(folder: Path) -> None:
    """Replace the copy of `service.json` that a container watches, and let it read the models; for a process nothing happens."""
    shown = service_folder(folder)
    if not shown.is_dir():
        return
    with disk_errors(folder):
        models = models_folder(folder)
        for path in (models, *models.rglob("*")):
            path.chmod(_OPEN if path.is_dir() else _READABLE)
        _replace(shown / _SETTINGS, (folder / _SETTINGS).read_bytes())


def _replace(path: Path, content: bytes) -> None:
    """As a whole: its reader must never see a half, nor a file that it can't open."""
    unfinished = path.with_name(f".{secrets.token_hex(4)}")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _READABLE)
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(descriptor, _READABLE)
            stream.write(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _record_file(folder: Path) -> Path:
    return folder / "runtime.json"
