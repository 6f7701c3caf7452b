"""The private folder of an endpoint: what its process is given, what it says of itself, and the keys, which it never sees."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bankmlops.errors import BackendUnavailableError
from bankmlops.local.disk import disk_errors, write_private_json
from bankmlops.local.log_tail import last_lines
from bankmlops.local.processes import ProcessIdentity
from bankmlops.local.ready_file import Ready, read_ready
from bankmlops.local.serving.container_files import read_record, show_settings, state_folder
from bankmlops.types import EndpointKeys, UnknownCategories


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """What the scoring process is told, its keys' digests apart, and which model it served before."""

    name: str
    model_name: str
    model_version: str
    auth_enabled: bool
    app_insights: bool
    model_folder: str = ""
    workers: int = 1
    previous_model_name: str = ""
    previous_model_version: str = ""
    previous_model_folder: str = ""
    cors_origins: Sequence[str] = ()
    plain_json: bool = False
    unknown_categories: str = UnknownCategories.SCORE
    collect_model_data: bool = False

    def with_model(self, name: str, version: str, folder: str) -> EndpointSettings:
        """The same with another model; the present one becomes the previous one."""
        return replace(
            self,
            model_name=name,
            model_version=version,
            model_folder=folder,
            previous_model_name=self.model_name,
            previous_model_version=self.model_version,
            previous_model_folder=self.model_folder,
        )


class EndpointFiles:
    """The folder `endpoints/NAME` of a workspace; it is the scoring process's `--service-dir`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def models(self) -> Path:
        """A folder for each model that it serves, or served before."""
        return self.folder / "models"

    @property
    def log(self) -> Path:
        """What the process writes."""
        return self.folder / "service.log"

    def add_model(self, bundle: Path, version: str) -> str:
        """Put a version's bundle in place, whole or not at all, and answer its folder below `models`, which had no other bundle.

        It is a copy, so that the endpoint depends on nothing outside its own folder.
        """
        name = f"{version}-{secrets.token_hex(4)}"
        with disk_errors(self.models):
            self.models.mkdir(mode=0o700, exist_ok=True)
            unfinished = self.models / f"{name}.unfinished"
            shutil.copytree(bundle, unfinished)
            unfinished.rename(self.models / name)
        return name

    def keep_models(self, kept: Collection[str]) -> None:
        """Remove the models that are not to be kept."""
        with disk_errors(self.models):
            for folder in self.models.iterdir():
                if folder.name not in kept:
                    shutil.rmtree(folder, ignore_errors=True)

    def write(self, settings: EndpointSettings, keys: EndpointKeys | None) -> None:
        """Replace keys and settings, each atomically; the process reads the digests alone, at its next request."""
        if keys is not None:
            write_private_json(self._keys, {"primary": keys.primary, "secondary": keys.secondary})
        write_private_json(self._service, {**asdict(settings), **_digests(keys)})
        show_settings(self.folder)

    def settings(self) -> EndpointSettings:
        """What the process was told last."""
        document = _read(self._service)
        try:
            return EndpointSettings(**{name: document[name] for name in EndpointSettings.__slots__ if name in document})
        except TypeError:
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
        ready = self.ready()
        return ready.port if ready and ready.pid == process.pid else None

    def ready(self) -> Ready | None:
        """What the process, or the first one of the container, says of itself; None while it has not said it."""
        record = read_record(self.folder)
        return read_ready((state_folder(self.folder) if record.container else self.folder) / "ready.json")

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
