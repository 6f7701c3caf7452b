"""What the routers share of the wire: the workspace's path, times as Azure writes them, the request's body and workspace."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from starlette.requests import Request

from bankmlops.emulator.instance import Emulator, WorkspaceState
from bankmlops.emulator.web.routing import Given
from bankmlops.errors import InvalidRequestError

WS = (
    "/subscriptions/{subscription_id}/resourceGroups/{resource_group}"
    "/providers/Microsoft.MachineLearningServices/workspaces/{workspace}"
)
MAX_JSON_BYTES = 32 << 20
MAX_RAW_BYTES = 256 << 20
HOLD_SECONDS = 15.0
_HOLD_STEP_SECONDS = 0.1


def now() -> str:
    """This moment as Azure writes it: UTC, ISO 8601, microseconds, a final Z."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def hold(emulator: Emulator, is_done: Callable[[], bool]) -> None:
    """Keep an answer back until the work behind it is done, for `HOLD_SECONDS` at most.

    The SDK sleeps for 5 or 10 s wherever what it asks for is not there yet.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + HOLD_SECONDS
    while emulator.is_at_work and not is_done() and loop.time() < until:
        await asyncio.sleep(_HOLD_STEP_SECONDS)


async def _emulator(request: Request) -> Emulator:
    emulator: Emulator = request.state.emulator
    return emulator


async def _workspace(request: Request) -> WorkspaceState:
    emulator: Emulator = request.state.emulator
    names = request.path_params
    return emulator.workspace(names["subscription_id"], names["resource_group"], names["workspace"])


async def _json_body(request: Request) -> Any:
    body = await _bounded_body(request, MAX_JSON_BYTES)
    try:
        return json.loads(body) if body else {}
    except ValueError as error:
        raise InvalidRequestError(f"{request.method} {request.url.path}: the body is not JSON: {error}") from error


async def _raw_body(request: Request) -> bytes:
    return await _bounded_body(request, MAX_RAW_BYTES)


async def _bounded_body(request: Request, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise InvalidRequestError(f"{request.method} {request.url.path}: the body has more than {limit} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


# Parameters of a route: the running emulator, the workspace that the path names, the body as JSON ({} where empty) or as bytes.
EmulatorState = Annotated[Emulator, Given(_emulator)]
Workspace = Annotated[WorkspaceState, Given(_workspace)]
JsonBody = Annotated[Any, Given(_json_body)]
RawBody = Annotated[bytes, Given(_raw_body)]
