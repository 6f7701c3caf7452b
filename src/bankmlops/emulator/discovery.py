"""The discovery service: under which base URL each service behind ARM is reached."""

from __future__ import annotations

from bankmlops.emulator.routing import Router
from bankmlops.emulator.wire import EmulatorState

router = Router()

SERVICES = (
    "api",
    "catalog",
    "experimentation",
    "gallery",
    "history",
    "hyperdrive",
    "labeling",
    "modelmanagement",
    "pipelines",
    "studio",
)


@router.get("/discovery")
@router.get("/discovery/workspaces/{workspace_id}")
async def discover(emulator: EmulatorState) -> dict[str, str]:
    """Every service is this process."""
    return dict.fromkeys(SERVICES, emulator.base_url)
