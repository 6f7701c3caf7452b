"""What a deployment may ask for on this machine."""

from __future__ import annotations

from bankmlops.errors import InvalidRequestError
from bankmlops.local.names import check_endpoint_name
from bankmlops.scoring.cors import check_origins
from bankmlops.types import DeploymentConfig

MAXIMUM_WORKERS = 64


def check_deployment(config: DeploymentConfig) -> None:
    """Raise `InvalidRequestError` with a line that shows the field and what would serve."""
    check_endpoint_name(config.name)
    check_origins(config.cors_origins)
    if not 0 <= config.port <= 65535:
        raise InvalidRequestError(f"port {config.port} can't serve; give one from 1 to 65535, or 0 for a free one")
    if not 0 < config.timeout_seconds < float("inf"):
        raise InvalidRequestError(f"timeout_seconds {config.timeout_seconds} can't serve; give a number above 0, such as 120")
    for name in ("cpu_cores", "memory_gb"):
        if not 0 < getattr(config, name) < float("inf"):
            raise InvalidRequestError(f"{name} {getattr(config, name)} can't serve; give a number above 0, such as 1")
    if not 1 <= config.workers <= MAXIMUM_WORKERS:
        raise InvalidRequestError(f"workers {config.workers} can't serve; give a whole number from 1 to {MAXIMUM_WORKERS}")
