"""The private folder of an endpoint: what its process is given, what it says of itself, and the keys, which it never sees."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bankmlops.errors import BackendUnavailableError
from bankmlops.local.disk import disk_errors, write_private_json
from bankmlops.local.log_tail import last_lines
from bankmlops.local.processes import ProcessIdentity
from bankmlops.types import EndpointKeys


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """What the scoring process is told, its keys' digests apart."""

    name: str
    model_name: str
    model_version: str
    auth_enabled: bool
    app_insights: bool


class EndpointFiles:
    """The folder `endpoints/NAME` of a workspace; it is the scoring process's `--service-dir`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def log(self) -> Path:
        """What the process writes."""
        return self.folder / "service.log"

    def copy_model(self, bundle: Path) -> None:
        """Put the bundle in place: a copy, so that the endpoint depends on nothing outside its folder."""
        with disk_errors(self.folder):
            shutil.copytree(bundle, self.folder / "model")

    def write(self, settings: EndpointSettings, keys: EndpointKeys | None) -> None:
        """Replace keys and settings, each atomically; the process reads the digests alone, at its next request."""
        if keys is not None:
            write_private_json(self._keys, {"primary": keys.primary, "secondary": keys.secondary})
        write_private_json(self._service, {**asdict(settings), **_digests(keys)})

    def settings(self) -> EndpointSettings:
        """What the process was told last."""
        document = _read(self._service)
        try:
            return EndpointSettings(**{name: document[name] for name in EndpointSettings.__slots__})
        except KeyError:
            raise _damaged(self._service) from None

    def keys(self) -> EndpointKeys:
        """Both keys; they are there where `settings().auth_enabled`."""
        document = _read(self._keys)
        try:
            return EndpointKeys(document["primary"], document["secondary"])
        except KeyError:
            raise _damaged(self._keys) from None

    def port(self, process: ProcessIdentity) -> int | None:
        """Where this very process says that it listens; None while it has not said so."""
        try:
            document = json.loads((self.folder / "ready.json").read_text())
            return int(document["port"]) if document["pid"] == process.pid else None
        except (OSError, ValueError, KeyError):
            return None

    def log_lines(self, count: int) -> Sequence[str]:
        """The newest lines of the log, oldest first."""
        with disk_errors(self.log):
            return last_lines(self.log, count)

    def remove(self) -> None:
        """Remove the folder (idempotent)."""
        with disk_errors(self.folder):
            if self.folder.exists():
                shutil.rmtree(self.folder)

    @property
    def _service(self) -> Path:
        return self.folder / "service.json"

    @property
    def _keys(self) -> Path:
        return self.folder / "keys.json"


def _digests(keys: EndpointKeys | None) -> Mapping[str, str]:
    if keys is None:
        return {}
    both = {"primary_key": keys.primary, "secondary_key": keys.secondary}
    return {f"{name}_sha256": hashlib.sha256(key.encode()).hexdigest() for name, key in both.items()}


def _read(path: Path) -> dict[str, Any]:
    with disk_errors(path):
        try:
            document = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            raise _damaged(path) from None
    if not isinstance(document, dict):
        raise _damaged(path)
    return document


def _damaged(path: Path) -> BackendUnavailableError:
    return BackendUnavailableError(f"{path} is missing or damaged; delete the endpoint and deploy it again")
