"""Calls the control server of a workspace over HTTP, and puts its refusals back into this package's errors."""

from __future__ import annotations

from typing import Any

import httpx

from bankmlops.errors import (
    AuthenticationError,
    BackendUnavailableError,
    BankMLOpsError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
)
from bankmlops.local.control.files import ControlFiles
from bankmlops.local.control.process import find_control_server
from bankmlops.local.loopback import OPTIONS

_TIMEOUT_SECONDS = 60.0
_ERRORS: dict[int, type[BankMLOpsError]] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    403: AuthenticationError,
    404: NotFoundError,
    409: ConflictError,
    413: InvalidRequestError,
    415: InvalidRequestError,
}


class ControlClient:
    """A caller that finds the server's address and token by itself, anew for each call, since both may change."""

    def __init__(self, files: ControlFiles) -> None:
        self._files = files

    def get(self, path: str) -> Any:
        """The JSON that a GET answers; raises as `post` does."""
        return self._call("GET", path, None)

    def post(self, path: str, body: object) -> Any:
        """The JSON that a POST answers.

        Raises what the server refused with, and `BackendUnavailableError` where no server runs or it does not answer.
        """
        return self._call("POST", path, body)

    def _call(self, method: str, path: str, body: object) -> Any:
        server = find_control_server(self._files)
        if server is None:
            raise BackendUnavailableError("no control server runs in this workspace; start it with `bankmlops up`")
        headers = {"Authorization": f"Bearer {self._files.token()}"}
        try:
            with httpx.Client(timeout=_TIMEOUT_SECONDS, **OPTIONS) as client:
                answer = client.request(method, server.url + path, json=body, headers=headers)
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise BackendUnavailableError(f"the control server at {server.url} does not answer: {reason}") from error
        return _read(answer)


def _read(answer: httpx.Response) -> Any:
    if answer.is_success:
        return answer.json()
    if answer.status_code in _ERRORS:
        raise _ERRORS[answer.status_code](_message(answer))
    raise BackendUnavailableError(_message(answer), _retry_seconds(answer))


def _retry_seconds(answer: httpx.Response) -> float | None:
    """What the server's Retry-After says; it gives whole seconds."""
    given = answer.headers.get("retry-after", "")
    return float(given) if given.isdecimal() else None


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the control server answered HTTP {answer.status_code}"
