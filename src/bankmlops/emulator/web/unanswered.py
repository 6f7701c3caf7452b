"""What the emulator was asked for and does not know: answered 501, and remembered for `bankmlops emulator status`."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import JSONResponse

from bankmlops.emulator.state import Documents
from bankmlops.emulator.web.errors import azure_error
from bankmlops.emulator.web.routing import Router, without_secret
from bankmlops.emulator.web.wire import EmulatorState

router = Router(documented=False)

MAX_REMEMBERED = 200
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_WORKSPACE = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.MachineLearningServices/workspaces/[^/]+", re.IGNORECASE
)


@router.route("/{path:path}", _METHODS)
async def not_emulated(path: str, request: Request, emulator: EmulatorState) -> JSONResponse:
    """501, naming the path."""
    remember(Documents(emulator.store, ""), f"{request.method} {_WORKSPACE.sub('{WS}', without_secret('/' + path))}")
    return azure_error(501, "NotImplemented", f"the emulator does not know {request.method} /{path}")


def remember(documents: Documents, route: str) -> None:
    """Count the route; at most `MAX_REMEMBERED` different ones."""
    with documents.store.transaction():
        known = documents.get("unanswered", route)
        if known is None and len(documents.find("unanswered")) >= MAX_REMEMBERED:
            return
        documents.put("unanswered", route, {"route": route, "count": (known or {"count": 0})["count"] + 1})
