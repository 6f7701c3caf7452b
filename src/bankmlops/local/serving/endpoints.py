"""Endpoints on this machine: each is a scoring process of its own that outlives the command that deployed it.

Its row in `state.db` says which process it is, its folder what it serves; how it stands is asked of the process itself.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from sqlite3 import Connection, Row
from typing import Protocol

from bankmlops.errors import (
    BackendUnavailableError,
    ConflictError,
    NotFoundError,
)
from bankmlops.local.json_columns import from_text, now_text, time_of, to_text
from bankmlops.local.processes import ProcessIdentity
from bankmlops.local.serving.container_choice import Choice, choose_runtime
from bankmlops.local.serving.container_files import RuntimeRecord, read_record, write_record
from bankmlops.local.serving.container_runtime import found_container
from bankmlops.local.serving.container_serving import look_at_container, serve_in_container
from bankmlops.local.serving.deployment_checks import check_deployment
from bankmlops.local.serving.endpoint_files import EndpointFiles, EndpointSettings
from bankmlops.local.serving.endpoint_runtime import end, kill, runs
from bankmlops.local.serving.endpoint_updates import SWITCH_SECONDS, as_served, check_parity, rolled_back, switch
from bankmlops.local.serving.process_serving import look_at_process, refuse_busy, start_process, wait_until_healthy
from bankmlops.local.serving.telemetry_files import copy_telemetry
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import DeploymentConfig, Endpoint, EndpointKeys, KeyName, Model, UnknownCategories

MAXIMUM_LOG_LINES = 5000
_KIND = "endpoints"
_HOST = "127.0.0.1"
_LOCK_SECONDS = 60.0
_NO_PROCESS = ProcessIdentity(0, 0.0)


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
        check_deployment(config)
        self._refuse_taken(config.name)
        registered, bundle = self._registered(model)
        choice = choose_runtime(config.runtime)
        with self._workspace.lock(_lock_name(config.name), timeout_seconds=config.timeout_seconds + _LOCK_SECONDS):
            self._refuse_taken(config.name)
            refuse_busy(config.port)
            return self._deploy(registered, bundle, config, choice)

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

    def update(self, name: str, model: Model) -> Endpoint:
        """Switch to another model without a failed request; one that can't be served changes nothing."""
        self._row(name)
        registered, bundle = self._registered(model)
        check_parity(registered)
        with self._workspace.lock(_lock_name(name), timeout_seconds=SWITCH_SECONDS + _LOCK_SECONDS):
            row, files = self._running_row(name), self._files(name)
            settings = as_served(files.settings(), files.ready())
            if (settings.model_name, settings.model_version) == (registered.name, registered.version):
                raise ConflictError(f"endpoint {name!r} serves version {registered.version} of {registered.name!r} already")
            folder = files.add_model(bundle, registered.version)
            return self._switch(row, settings.with_model(registered.name, registered.version, folder))

    def rollback(self, name: str) -> Endpoint:
        """Switch to the model that was served before."""
        self._row(name)
        with self._workspace.lock(_lock_name(name), timeout_seconds=SWITCH_SECONDS + _LOCK_SECONDS):
            return self._switch(self._running_row(name), rolled_back(self._files(name).settings()))

    def set_app_insights(self, name: str, enabled: bool) -> Endpoint:
        """Turn telemetry on or off; it counts from the next request."""
        return self._change(name, lambda settings: replace(settings, app_insights=enabled))

    def set_data_collection(self, name: str, enabled: bool) -> Endpoint:
        """Turn the model data collector on or off; it counts from the next request."""
        return self._change(name, lambda settings: replace(settings, collect_model_data=enabled))

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
        files = self._files(name)
        container = found_container(read_record(files.folder))
        return container.log_lines(MAXIMUM_LOG_LINES) if container else files.log_lines(MAXIMUM_LOG_LINES)

    def download_telemetry(self, name: str, to: Path) -> Sequence[Path]:
        """Copy what it recorded into the folder `to`."""
        self._row(name)
        return copy_telemetry(self._files(name).folder, to)

    def collected_in(self, name: str) -> Path:
        """The folder in which it keeps what it collected."""
        self._row(name)
        return self._files(name).folder

    def delete(self, name: str) -> None:
        """Let it finish what it was asked, end it and remove what it had; one that is not there is no error."""
        with self._workspace.lock(_lock_name(name)):
            files = self._files(name)
            with self._workspace.database() as database:
                row = _find(database, name)
            if row is not None:
                end(files, _process(row))
            self._remove(files, name)

    def _change(self, name: str, change: Callable[[EndpointSettings], EndpointSettings]) -> Endpoint:
        self._row(name)
        with self._workspace.lock(_lock_name(name)):
            row = self._row(name)
            files = self._files(name)
            settings = change(files.settings())
            files.write(settings, files.keys() if settings.auth_enabled else None)
        return self._endpoint(row)

    def _registered(self, model: Model) -> tuple[Model, Path]:
        registered = self._models.get(model.name, model.version)
        bundle = self._models.bundle(registered)
        if not bundle.is_dir():
            raise NotFoundError(f"version {model.version} of model {model.name!r} has no exported bundle; register its run again")
        return registered, bundle

    def _switch(self, row: Row, settings: EndpointSettings) -> Endpoint:
        files = self._files(settings.name)
        switch(files, settings, lambda: runs(files, _process(row)))
        with self._workspace.database() as database:
            values = (settings.model_name, settings.model_version, settings.name)
            database.execute("UPDATE endpoints SET model_name = ?, model_version = ? WHERE name = ?", values)
        return self.get(settings.name)

    def _running_row(self, name: str) -> Row:
        """The row of an endpoint whose supervisor runs: it can switch to another model even where the present one hangs."""
        row = self._row(name)
        if not runs(self._files(name), _process(row)):
            raise ConflictError(f"endpoint {name!r} does not serve; `bankmlops endpoints logs {name}` may tell why")
        return row

    def _get_those_that_stay(self, names: Iterable[str]) -> Iterator[Endpoint]:
        for name in names:
            with suppress(NotFoundError):
                yield self.get(name)

    def _deploy(self, model: Model, bundle: Path, config: DeploymentConfig, choice: Choice) -> Endpoint:
        files = self._files(config.name)
        try:
            kill(files)  # a deployment that was killed before its row was written
            files.remove()
            self._workspace.folder_of(_KIND, config.name)
            folder = files.add_model(bundle, model.version)
            files.write(_settings(model, folder, config), EndpointKeys(_new_key(), _new_key()) if config.auth_enabled else None)
            return self._start(files, model, config, choice)
        except BaseException:
            self._remove(files, config.name)
            raise

    def _start(self, files: EndpointFiles, model: Model, config: DeploymentConfig, choice: Choice) -> Endpoint:
        began = time.monotonic()
        if choice.image:
            self._add(model, config, _NO_PROCESS)
            serve_in_container(choice.image, files.folder, config, choice.reason)
        else:
            self._start_process(files, model, config, choice.reason)
        with self._workspace.database() as database:
            database.execute(
                "UPDATE endpoints SET cold_start_seconds = ? WHERE name = ?", (time.monotonic() - began, config.name)
            )
        return self.get(config.name)

    def _start_process(self, files: EndpointFiles, model: Model, config: DeploymentConfig, reason: str) -> None:
        write_record(files.folder, RuntimeRecord(reason=reason))
        process = start_process(files, config.port)
        self._add(model, config, process)
        wait_until_healthy(files, process, config)

    def _add(self, model: Model, config: DeploymentConfig, process: ProcessIdentity) -> None:
        with self._workspace.database() as database:
            database.execute(
                "INSERT INTO endpoints (name, model_name, model_version, tags, created, pid, process_created)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (config.name, model.name, model.version, to_text(config.tags), now_text(), process.pid, process.created),
            )

    def _remove(self, files: EndpointFiles, name: str) -> None:
        kill(files)
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
        files = self._files(row["name"])
        settings, record = files.settings(), read_record(files.folder)
        state, port = look_at_container(record) if record.container else look_at_process(files, _process(row))
        served = files.ready()
        by_itself = (served.model_name, served.model_version) if served and served.model_name else None
        model_name, model_version = by_itself or (row["model_name"], row["model_version"])
        return Endpoint(
            name=row["name"],
            state=state,
            scoring_uri=f"{_url(port)}/score" if port else "",
            swagger_uri=f"{_url(port)}/swagger.json" if port else "",
            runtime=record.runtime,
            runtime_reason=record.reason,
            model_name=model_name,
            model_version=model_version,
            auth_enabled=settings.auth_enabled,
            app_insights=settings.app_insights,
            created=time_of(row["created"]),
            cold_start_seconds=row["cold_start_seconds"],
            tags=from_text(dict[str, str], row["tags"]),
            workers=settings.workers,
            cors_origins=tuple(settings.cors_origins),
            plain_json=settings.plain_json,
            unknown_categories=UnknownCategories(settings.unknown_categories),
            collect_model_data=settings.collect_model_data,
        )


def _settings(model: Model, folder: str, config: DeploymentConfig) -> EndpointSettings:
    return EndpointSettings(
        name=config.name,
        model_name=model.name,
        model_version=model.version,
        model_folder=folder,
        auth_enabled=config.auth_enabled,
        app_insights=config.app_insights,
        workers=config.workers,
        cors_origins=config.cors_origins,
        plain_json=config.plain_json,
        unknown_categories=config.unknown_categories,
        collect_model_data=config.collect_model_data,
    )


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
