"""Switching a running endpoint to another model: what its process is told, and what it says of it.

The process starts the model beside the one that it serves, tries it, and switches when it can serve. Whatever goes wrong here, it
is told to stay with the model that it had.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from bankmlops.errors import ConflictError, DeploymentFailedError, RunFailedError
from bankmlops.local.ready_file import Ready
from bankmlops.local.serving.endpoint_files import EndpointFiles, EndpointSettings
from bankmlops.types import Model

SWITCH_SECONDS = 120.0
_FORGET_SECONDS = 5.0
_POLL_SECONDS = 0.02


def check_parity(model: Model) -> None:
    """Raise `DeploymentFailedError` unless it is on record that the exported model answers as the trained one did."""
    from bankmlops.automl.parity import check_parity as check

    which = f"version {model.version} of model {model.name!r}"
    if model.parity is None:
        raise DeploymentFailedError(f"{which} is not served: no parity with the trained model is on record; register it again")
    try:
        check(model.parity)
    except RunFailedError as error:
        raise DeploymentFailedError(f"{which} is not served: {error}") from error


def as_served(settings: EndpointSettings, ready: Ready | None) -> EndpointSettings:
    """The settings of the model that is served, where an update that was killed left those of another one, which was refused."""
    if ready and settings.previous_model_name and ready.model_folder == settings.previous_model_folder:
        return rolled_back(settings)
    return settings


def rolled_back(settings: EndpointSettings) -> EndpointSettings:
    """The same with the previous model. Raises `ConflictError` where there is none."""
    if not settings.previous_model_name:
        raise ConflictError(f"endpoint {settings.name!r} served no other model before, so there is none to go back to")
    previous = (settings.previous_model_name, settings.previous_model_version, settings.previous_model_folder)
    return settings.with_model(*previous)


def switch(
    files: EndpointFiles,
    settings: EndpointSettings,
    is_alive: Callable[[], bool],
    timeout_seconds: float = SWITCH_SECONDS,
) -> None:
    """Have the running process serve the model that the settings name, and forget the models that it can't go back to.

    Raises `DeploymentFailedError` where it does not; then it goes on with the model before.
    """
    before, keys = files.settings(), files.keys() if settings.auth_enabled else None
    _wait_until_forgotten(files, settings, is_alive)
    files.write(settings, keys)
    try:
        _wait_until_served(files, settings, is_alive, timeout_seconds)
    except BaseException:
        files.write(before, keys)
        files.keep_models((before.model_folder, before.previous_model_folder))
        raise
    files.keep_models((settings.model_folder, settings.previous_model_folder))


def _wait_until_forgotten(files: EndpointFiles, settings: EndpointSettings, is_alive: Callable[[], bool]) -> None:
    """Until the process no longer says that it refused this model at an earlier try, which is no answer to this one."""
    deadline = time.monotonic() + _FORGET_SECONDS
    while time.monotonic() < deadline and is_alive():
        ready = files.ready()
        if ready is None or ready.refused_folder != settings.model_folder:
            return
        time.sleep(_POLL_SECONDS)


def _wait_until_served(
    files: EndpointFiles, settings: EndpointSettings, is_alive: Callable[[], bool], timeout_seconds: float
) -> None:
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        ready = files.ready()
        if ready and ready.model_folder == settings.model_folder:
            return
        if ready and ready.refused_folder == settings.model_folder:
            raise _failure(settings, ready.refused_reason)
        if not is_alive():
            raise _failure(settings, "its process has ended")
        time.sleep(_POLL_SECONDS)
    raise _failure(settings, f"it could not serve within {timeout_seconds:g} s")


def _failure(settings: EndpointSettings, what: str) -> DeploymentFailedError:
    wanted = f"{settings.model_name}:{settings.model_version}"
    kept = f"{settings.previous_model_name}:{settings.previous_model_version}"
    return DeploymentFailedError(f"endpoint {settings.name!r} goes on with {kept}, since {wanted} can't be served: {what}")
