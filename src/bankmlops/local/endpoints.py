"""Endpoints on this machine: each is a scoring process of its own that outlives the command that deployed it.

Its row in `state.db` says which process it is, its folder what it serves; how it stands is asked of the process itself.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from sqlite3 import Connection, Row
from typing import Protocol

import httpx

from bankmlops.errors import (
    BackendUnavailableError,
    ConflictError,
    DeploymentFailedError,
    InvalidRequestError,
    NotFoundError,
)
from bankmlops.local.endpoint_files import EndpointFiles, EndpointSettings
from bankmlops.local.json_columns import from_text, now_text, time_of, to_text
from bankmlops.local.names import check_endpoint_name
from bankmlops.local.processes import ProcessIdentity, end_family, is_alive, kill_family, start_detached
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import DeploymentConfig, Endpoint, EndpointKeys, EndpointState, KeyName, Model

RUNTIME = "process"
MAXIMUM_LOG_LINES = 5000
_KIND = "endpoints"
_MODULE = "bankmlops.scoring"
_HOST = "127.0.0.1"
_POLL_SECONDS = 0.02
_ANSWER_SECONDS = 2.0
_GRACE_SECONDS = 10.0
_LOCK_SECONDS = 60.0
_LAST_LINES = 5


class Models(Protocol):
    """What deploying needs of the registry."""

    def get(self, name: str, version: str | None = None) -> Model:
        """One version. Raises `NotFoundError`."""

    def bundle(self, model: Model) -> Path:
        """The folder of its exported bundle."""


class Endpoints:
    """The endpoints of one workspace."""

    def __init__(self, workspace: LocalWorkspace, models: Models) -> None:
        self._workspace = workspace
        self._models = models

    def deploy(self, model: Model, config: DeploymentConfig) -> Endpoint:
        """Start the model's scoring process and wait until it is healthy. A failure leaves nothing behind.

        Raises `InvalidRequestError` for a field that can't serve, `NotFoundError` where the model is not there, `ConflictError`
        where the name is taken or the port busy, and `DeploymentFailedError` with the log's last lines.
        """
        _check(config)
        self._refuse_taken(config.name)
        registered = self._models.get(model.name, model.version)
        bundle = self._models.bundle(registered)
        if not bundle.is_dir():
            raise NotFoundError(f"version {model.version} of model {model.name!r} has no exported bundle; register its run again")
        with self._workspace.lock(_lock_name(config.name), timeout_seconds=config.timeout_seconds + _LOCK_SECONDS):
            self._refuse_taken(config.name)
            _refuse_busy(config.port)
            return self._deploy(registered, bundle, config)

    def get(self, name: str) -> Endpoint:
        """How it stands; a dead process is Failed, one that does not answer Unhealthy. Raises `NotFoundError`."""
        try:
            return self._endpoint(self._row(name))
        except BackendUnavailableError:
            self._row(name)  # it may have been deleted meanwhile
            raise

    def list(self) -> Sequence[Endpoint]:
        """Every endpoint, by name."""
        with self._workspace.database() as database:
            names = [row["name"] for row in database.execute("SELECT name FROM endpoints ORDER BY name")]
        return tuple(self._get_those_that_stay(names))

    def set_app_insights(self, name: str, enabled: bool) -> Endpoint:
        """Turn telemetry on or off; it counts from the next request."""
        self._row(name)
        with self._workspace.lock(_lock_name(name)):
            row = self._row(name)
            files = self._files(name)
            settings = replace(files.settings(), app_insights=enabled)
            files.write(settings, files.keys() if settings.auth_enabled else None)
        return self._endpoint(row)

    def keys(self, name: str) -> EndpointKeys:
        """Both keys; `ConflictError` where the endpoint has no key authentication."""
        self._row(name)
        files = self._files(name)
        if not files.settings().auth_enabled:
            raise ConflictError(f"endpoint {name!r} has no keys: it was deployed without authentication")
        return files.keys()

    def regenerate_key(self, name: str, which: KeyName) -> EndpointKeys:
        """Replace one key; the old one opens nothing from the next request on, the other goes on working."""
        self._row(name)
        with self._workspace.lock(_lock_name(name)):
            fresh = _new_key()
            old = self.keys(name)
            keys = replace(old, primary=fresh) if which is KeyName.PRIMARY else replace(old, secondary=fresh)
            files = self._files(name)
            files.write(files.settings(), keys)
        return keys

    def logs(self, name: str) -> Sequence[str]:
        """The newest lines of its log, oldest first."""
        self._row(name)
        return self._files(name).log_lines(MAXIMUM_LOG_LINES)

    def delete(self, name: str) -> None:
        """Let it finish what it was asked, end it and remove what it had; one that is not there is no error."""
        with self._workspace.lock(_lock_name(name)):
            files = self._files(name)
            with self._workspace.database() as database:
                row = _find(database, name)
            if row is not None:
                end_family(_process(row), files.folder, _GRACE_SECONDS)
            self._remove(files, name)

    def _get_those_that_stay(self, names: Iterable[str]) -> Iterator[Endpoint]:
        for name in names:
            with suppress(NotFoundError):
                yield self.get(name)

    def _deploy(self, model: Model, bundle: Path, config: DeploymentConfig) -> Endpoint:
        files = self._files(config.name)
        try:
            kill_family(files.folder)  # of a deployment that was killed before its row was written
            files.remove()
            self._workspace.folder_of(_KIND, config.name)
            files.copy_model(bundle)
            files.write(_settings(model, config), EndpointKeys(_new_key(), _new_key()) if config.auth_enabled else None)
            return self._start(files, model, config)
        except BaseException:
            self._remove(files, config.name)
            raise

    def _start(self, files: EndpointFiles, model: Model, config: DeploymentConfig) -> Endpoint:
        began = time.monotonic()
        arguments = ["--service-dir", str(files.folder), "--port", str(config.port)]
        process = start_detached(_MODULE, arguments, files.log, files.folder)
        self._add(model, config, process)
        _wait_until_healthy(files, process, config)
        with self._workspace.database() as database:
            database.execute(
                "UPDATE endpoints SET cold_start_seconds = ? WHERE name = ?", (time.monotonic() - began, config.name)
            )
        return self.get(config.name)

    def _add(self, model: Model, config: DeploymentConfig, process: ProcessIdentity) -> None:
        with self._workspace.database() as database:
            database.execute(
                "INSERT INTO endpoints (name, model_name, model_version, tags, created, pid, process_created)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (config.name, model.name, model.version, to_text(config.tags), now_text(), process.pid, process.created),
            )

    def _remove(self, files: EndpointFiles, name: str) -> None:
        kill_family(files.folder)
        with self._workspace.database() as database:
            database.execute("DELETE FROM endpoints WHERE name = ?", (name,))
        files.remove()

    def _refuse_taken(self, name: str) -> None:
        with self._workspace.database() as database:
            if _find(database, name) is not None:
                raise ConflictError(f"endpoint {name!r} exists already; delete it first, or choose another name")

    def _row(self, name: str) -> Row:
        with self._workspace.database() as database:
            row = _find(database, name)
        if row is None:
            raise NotFoundError(f"there is no endpoint {name!r} in {self._workspace.folder}; deploy it, or choose another")
        return row

    def _files(self, name: str) -> EndpointFiles:
        return EndpointFiles(self._workspace.path_of(_KIND, name))

    def _endpoint(self, row: Row) -> Endpoint:
        files, process = self._files(row["name"]), _process(row)
        settings = files.settings()
        alive = is_alive(process)
        port = files.port(process) if alive else None
        return Endpoint(
            name=row["name"],
            state=_state(port) if alive else EndpointState.FAILED,
            scoring_uri=f"{_url(port)}/score" if port else "",
            swagger_uri=f"{_url(port)}/swagger.json" if port else "",
            runtime=RUNTIME,
            model_name=row["model_name"],
            model_version=row["model_version"],
            auth_enabled=settings.auth_enabled,
            app_insights=settings.app_insights,
            created=time_of(row["created"]),
            cold_start_seconds=row["cold_start_seconds"],
            tags=from_text(dict[str, str], row["tags"]),
        )


def _check(config: DeploymentConfig) -> None:
    check_endpoint_name(config.name)
    if not 0 <= config.port <= 65535:
        raise InvalidRequestError(f"port {config.port} can't serve; give one from 1 to 65535, or 0 for a free one")
    if not 0 < config.timeout_seconds < float("inf"):
        raise InvalidRequestError(f"timeout_seconds {config.timeout_seconds} can't serve; give a number above 0, such as 120")


def _refuse_busy(port: int) -> None:
    """Raise `ConflictError` where the port is asked for and can't be listened on."""
    try:
        with socket.create_server((_HOST, port)):
            return
    except OSError as error:
        raise ConflictError(f"port {port} can't be listened on ({error.strerror}); choose another, or 0 for a free one") from None


def _wait_until_healthy(files: EndpointFiles, process: ProcessIdentity, config: DeploymentConfig) -> None:
    deadline = time.monotonic() + config.timeout_seconds
    while time.monotonic() < deadline:
        alive = is_alive(process)
        port = files.port(process)
        if port is not None and _answers(port):
            return
        if not alive:
            _refuse_busy(config.port)  # somebody was faster
            raise _failure(files, config, "its process ended")
        time.sleep(_POLL_SECONDS)
    raise _failure(files, config, f"it was not healthy within {config.timeout_seconds:g} s")


def _failure(files: EndpointFiles, config: DeploymentConfig, what: str) -> DeploymentFailedError:
    lines = [line.strip() for line in files.log_lines(_LAST_LINES) if line.strip()]
    return DeploymentFailedError(
        f"endpoint {config.name!r} could not be deployed: {what}: {' | '.join(lines) or 'it logged nothing'}"
    )


def _state(port: int | None) -> EndpointState:
    if port is None:
        return EndpointState.TRANSITIONING
    return EndpointState.HEALTHY if _answers(port) else EndpointState.UNHEALTHY


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"{_url(port)}/health/ready", timeout=_ANSWER_SECONDS, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _settings(model: Model, config: DeploymentConfig) -> EndpointSettings:
    return EndpointSettings(config.name, model.name, model.version, config.auth_enabled, config.app_insights)


def _new_key() -> str:
    return secrets.token_urlsafe(32)


def _url(port: int) -> str:
    return f"http://{_HOST}:{port}"


def _lock_name(name: str) -> str:
    return f"endpoint-{name}"


def _find(database: Connection, name: str) -> Row | None:
    row: Row | None = database.execute("SELECT * FROM endpoints WHERE name = ?", (name,)).fetchone()
    return row


def _process(row: Row) -> ProcessIdentity:
    return ProcessIdentity(row["pid"], row["process_created"])
