"""The discovery service: under which base URL each service behind ARM is reached."""

from __future__ import annotations

from starlette.requests import Request

from bankmlops.emulator.web.arm import ARM_HOST
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import EmulatorState

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
async def discover(emulator: EmulatorState, request: Request) -> dict[str, str]:
    """Every service is this process, over TLS for who asks over TLS: SDK v2 sends no token without."""
    over_tls = request.headers.get("host", "").partition(":")[0] == ARM_HOST.removeprefix("https://")
    return dict.fromkeys(SERVICES, ARM_HOST if over_tls else emulator.base_url)
