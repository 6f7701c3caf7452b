"""What `bankmlops emulator status` and `fault` talk to: not Azure's, and open to who holds this instance's control secret."""

from __future__ import annotations

import hmac
import os
from typing import Any

from starlette.requests import Request

from bankmlops.emulator.state import Documents
from bankmlops.emulator.web.faults import Fault
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import EmulatorState, JsonBody
from bankmlops.errors import AuthenticationError, InvalidRequestError

HEADER = "x-bankmlops-control"
MAX_SUBSCRIPTIONS = 100
MAX_NAME = 200


async def _check_secret(request: Request, emulator: EmulatorState) -> None:
    given = request.headers.get(HEADER, "")
    if not hmac.compare_digest(given.encode(), emulator.secrets.control.encode()):
        raise AuthenticationError("the emulator's control secret is wrong")


router = Router(prefix="/emulator", checks=[_check_secret], documented=False)


@router.get("/status")
async def status(emulator: EmulatorState) -> dict[str, Any]:
    """Process id, ports, what is kept, what was asked for in vain, and the faults still to come."""
    shared = Documents(emulator.store, "")
    kinds = dict(emulator.store.execute("SELECT kind, count(*) FROM documents WHERE workspace <> '' GROUP BY kind ORDER BY kind"))
    return {
        "pid": os.getpid(),
        "base_url": emulator.base_url,
        "proxy_port": emulator.addresses.proxy_port,
        "time_scale": emulator.time_scale,
        "workspaces": len(shared.find("workspace")),
        "documents": kinds,
        "blobs": emulator.store.execute("SELECT count(*) FROM blobs")[0][0],
        "unanswered": sorted(shared.find("unanswered"), key=lambda each: -each["count"]),
        "faults": emulator.faults.listed(),
    }


@router.post("/subscriptions")
async def add_subscriptions(emulator: EmulatorState, body: JsonBody) -> list[str]:
    """Have the SDK find these subscriptions, and answer all that it finds."""
    names = body if isinstance(body, list) else []
    if not all(isinstance(name, str) and 0 < len(name) <= MAX_NAME for name in names):
        raise InvalidRequestError("a list of subscription ids is wanted")
    for name in names[:MAX_SUBSCRIPTIONS]:
        emulator.add_subscription(name)
    return emulator.subscriptions()


@router.post("/faults")
async def add_fault(emulator: EmulatorState, body: JsonBody) -> list[dict[str, object]]:
    """Arm a fault, and answer those that are armed."""
    try:
        fault = Fault(str(body["route"]), int(body.get("status", 0)), int(body.get("times", 1)), float(body.get("delay", 0)))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidRequestError(f"a fault has route, status, times and delay; {error} is missing or not a number") from None
    emulator.faults.add(fault)
    return emulator.faults.listed()
