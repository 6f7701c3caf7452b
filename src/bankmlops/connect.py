"""The composition root: the only place that knows both backends by name. Each is imported when it is asked for."""

from __future__ import annotations

from pathlib import Path

from bankmlops.backend import Backend
from bankmlops.errors import InvalidRequestError

BACKENDS = ("local", "azure")


def connect(backend: str, workspace: Path) -> Backend:
    """A backend by its name; `workspace` is the local state folder, which Azure's does without.

    Raises `InvalidRequestError` for an unknown name, or where the extra that the backend stands on is not installed.
    """
    if backend not in BACKENDS:
        raise InvalidRequestError(f"--backend {backend!r} is unknown; choose one of: {', '.join(BACKENDS)}")
    try:
        return _local(workspace) if backend == "local" else _azure()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "bankmlops":
            raise
        raise InvalidRequestError(
            f"the {backend} backend needs {missing}, which is not installed: pip install 'bankmlops[{backend}]'"
        ) from error


def _local(workspace: Path) -> Backend:
    from bankmlops.local.backend import LocalBackend

    return LocalBackend(workspace)


def _azure() -> Backend:
    from bankmlops.azure.backend import AzureBackend
    from bankmlops.azure.configuration import find_configuration

    return AzureBackend(find_configuration())
