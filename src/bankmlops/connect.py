"""The composition root: the only place that knows both backends by name. Each is imported when it is asked for."""

from __future__ import annotations

from pathlib import Path

from bankmlops.backend import Backend
from bankmlops.control_desk import ControlDesk
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


def run_worker(backend: str, workspace: Path, drain_seconds: float) -> None:
    """Carry out pipelines' steps until a signal ends this process; see `bankmlops.local.pipelines.worker`.

    Raises `InvalidRequestError` where there can be none: Azure's clusters are its own, and SQLite serves one process alone.
    """
    if backend != "local":
        raise InvalidRequestError(
            f"--backend {backend}: only the local backend has workers; Azure ML runs steps on its own clusters"
        )
    from bankmlops.local.pipelines.worker import run_worker as run_here

    run_here(workspace, drain_seconds)


def control_desk(backend: str, workspace: Path) -> ControlDesk:
    """The tokens and the audit log of a local workspace's control server.

    Raises `InvalidRequestError` on Azure, which has its own: Microsoft Entra ID, and the activity log.
    """
    if backend != "local":
        raise InvalidRequestError(
            f"--backend {backend}: tokens and the audit log are the local backend's; Azure has Entra ID and its activity log"
        )
    from bankmlops.local.control.desk import LocalControlDesk

    return LocalControlDesk(workspace)


def _local(workspace: Path) -> Backend:
    from bankmlops.local.backend import LocalBackend

    return LocalBackend(workspace)


def _azure() -> Backend:
    from bankmlops.azure.backend import AzureBackend
    from bankmlops.azure.configuration import find_configuration

    return AzureBackend(find_configuration())
