"""Speaks to a running emulator's control routes, past every proxy, with the secret that lies in its state."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bankmlops.emulator.home import Running
from bankmlops.errors import BackendUnavailableError, InvalidRequestError

if TYPE_CHECKING:
    from urllib.error import HTTPError

HEADER = "x-bankmlops-control"
_SECONDS = 30.0


def ask(running: Running, route: str, body: object = None) -> Any:
    """GET the route, or POST the body to it, and answer what comes back.

    Raises `InvalidRequestError` for what the emulator refuses, `BackendUnavailableError` where it does not answer.
    """
    from urllib.error import HTTPError, URLError
    from urllib.request import ProxyHandler, Request, build_opener

    data = None if body is None else json.dumps(body).encode()
    headers = {HEADER: _secret(running), "Content-Type": "application/json"}
    request = Request(f"{running.addresses.base_url}/emulator{route}", data, headers)  # noqa: S310  always http://127.0.0.1
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=_SECONDS) as answer:
            return json.loads(answer.read())
    except HTTPError as error:
        raise InvalidRequestError(_message(error)) from error
    except (URLError, OSError, ValueError) as error:
        raise BackendUnavailableError(f"the emulator at {running.addresses.base_url} does not answer: {error}") from error


def _secret(running: Running) -> str:
    try:
        return str(json.loads((running.state / "secrets.json").read_text("utf-8"))["control"])
    except (OSError, ValueError, KeyError) as error:
        raise BackendUnavailableError(f"{running.state}/secrets.json can't be read: {error}; start the emulator again") from error


def _message(error: HTTPError) -> str:
    try:
        return str(json.loads(error.read())["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the emulator answers {error.code}"
