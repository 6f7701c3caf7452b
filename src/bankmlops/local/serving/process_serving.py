"""How a process becomes an endpoint: started, waited for, and looked at afterwards."""

from __future__ import annotations

import socket
import time

from bankmlops.errors import ConflictError, DeploymentFailedError
from bankmlops.local.answering import HOST, answers
from bankmlops.local.processes import ProcessIdentity, is_alive, start_detached
from bankmlops.local.serving.endpoint_files import EndpointFiles
from bankmlops.types import DeploymentConfig, EndpointState

_MODULE = "bankmlops.scoring"
_POLL_SECONDS = 0.02
_LAST_LINES = 5


def start_process(files: EndpointFiles, port: int) -> ProcessIdentity:
    """Start the scoring process on what the folder holds; it is not waited for."""
    arguments = ["--service-dir", str(files.folder), "--model-dir", str(files.models), "--port", str(port)]
    return start_detached(_MODULE, arguments, files.log, files.folder)


def refuse_busy(port: int) -> None:
    """Raise `ConflictError` where the port is asked for and can't be listened on."""
    try:
        with socket.create_server((HOST, port)):
            return
    except OSError as error:
        raise ConflictError(f"port {port} can't be listened on ({error.strerror}); choose another, or 0 for a free one") from None


def wait_until_healthy(files: EndpointFiles, process: ProcessIdentity, config: DeploymentConfig) -> None:
    """Raise `ConflictError` where the port was taken meanwhile, `DeploymentFailedError` with the log's last lines else."""
    deadline = time.monotonic() + config.timeout_seconds
    while time.monotonic() < deadline:
        alive = is_alive(process)
        port = files.port(process)
        if port is not None and answers(port):
            return
        if not alive:
            refuse_busy(config.port)  # somebody was faster
            raise _failure(files, config, "its process ended")
        time.sleep(_POLL_SECONDS)
    raise _failure(files, config, f"it was not healthy within {config.timeout_seconds:g} s")


def look_at_process(files: EndpointFiles, process: ProcessIdentity) -> tuple[EndpointState, int | None]:
    """How the endpoint stands, and its port: Failed where the process died, Unhealthy where it does not answer."""
    if not is_alive(process):
        return EndpointState.FAILED, None
    port = files.port(process)
    if port is None:
        return EndpointState.TRANSITIONING, None
    return EndpointState.HEALTHY if answers(port) else EndpointState.UNHEALTHY, port


def _failure(files: EndpointFiles, config: DeploymentConfig, what: str) -> DeploymentFailedError:
    lines = [line.strip() for line in files.log_lines(_LAST_LINES) if line.strip()]
    return DeploymentFailedError(
        f"endpoint {config.name!r} could not be deployed: {what}: {' | '.join(lines) or 'it logged nothing'}"
    )
