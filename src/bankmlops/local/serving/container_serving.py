"""How a container becomes an endpoint: started, waited for, and looked at afterwards."""

from __future__ import annotations

import time
from pathlib import Path

from bankmlops.errors import BackendUnavailableError, DeploymentFailedError
from bankmlops.local.answering import answers
from bankmlops.local.serving.container_files import RuntimeRecord
from bankmlops.local.serving.container_image import EngineImage
from bankmlops.local.serving.container_runtime import Container, found_container, start_container
from bankmlops.types import DeploymentConfig, EndpointState

_POLL_SECONDS = 0.05
_LOOK_EACH_SECONDS = 0.5
_LAST_LINES = 5


def serve_in_container(image: EngineImage, folder: Path, config: DeploymentConfig, reason: str) -> None:
    """Start a container of the image and wait until it is healthy.

    Raises `DeploymentFailedError` with the log's last lines, `ConflictError` for a port that is taken, `InvalidRequestError` for
    limits that the engine refuses.
    """
    container = start_container(image, folder, config, reason)
    deadline = time.monotonic() + config.timeout_seconds
    look_at = time.monotonic() + _LOOK_EACH_SECONDS
    while time.monotonic() < deadline:
        if answers(container.record.port):
            return
        if time.monotonic() >= look_at:
            look_at = time.monotonic() + _LOOK_EACH_SECONDS
            if not container.runs_as_made():
                raise _failure(container, config, "its container ended")
        time.sleep(_POLL_SECONDS)
    raise _failure(container, config, f"it was not healthy within {config.timeout_seconds:g} s")


def look_at_container(record: RuntimeRecord) -> tuple[EndpointState, int | None]:
    """How the endpoint stands, and its port: Unhealthy where its container died or does not answer, Failed where it is gone."""
    container = found_container(record)
    try:
        if container is None or not container.exists():
            return EndpointState.FAILED, None
        is_up = container.is_running()
    except BackendUnavailableError:  # the engine itself is silent, which the endpoint need not be
        is_up = True
    return EndpointState.HEALTHY if is_up and answers(record.port) else EndpointState.UNHEALTHY, record.port


def _failure(container: Container, config: DeploymentConfig, what: str) -> DeploymentFailedError:
    lines = [line.strip() for line in container.log_lines(_LAST_LINES) if line.strip()]
    return DeploymentFailedError(
        f"endpoint {config.name!r} could not be deployed: {what}: {' | '.join(lines) or 'it logged nothing'}"
    )
