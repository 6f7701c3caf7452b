"""Whether a scoring service answers, whatever runs it."""

from __future__ import annotations

import httpx

from bankmlops.local.loopback import OPTIONS

HOST = "127.0.0.1"
_SECONDS = 2.0


def answers(port: int) -> bool:
    """Whether what listens on this port of this machine says that it is ready."""
    try:
        response = httpx.get(f"http://{HOST}:{port}/health/ready", timeout=_SECONDS, **OPTIONS)
    except httpx.HTTPError:
        return False
    return response.status_code == httpx.codes.OK
