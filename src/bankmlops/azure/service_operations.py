"""What a web service is in the midst of: Azure does deployments and updates in operations that are asked for until they end.

The SDK's own wait tells a lost connection as a failed deployment, and shows the operation in a private method alone, which is
called here and nowhere else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from bankmlops.azure.errors import translated
from bankmlops.azure.retries import poll

FINAL = ("Succeeded", "Failed", "Cancelled", "TimedOut")
MAXIMUM_LENGTH = 600


@dataclass(frozen=True, slots=True)
class Operation:
    """How an operation stands; `error` is one line where it failed."""

    state: str
    error: str = ""

    @property
    def succeeded(self) -> bool:
        return self.state == "Succeeded"


def wait_for_operation(service: Any, timeout_seconds: float) -> Operation:
    """The service's last operation when it has ended. Raises `TimedOutError` where it does not end in time."""
    what = f"Azure's work on endpoint {service.name}"
    return poll(lambda: _read(service), lambda operation: operation.state in FINAL, what=what, timeout_seconds=timeout_seconds)


def _read(service: Any) -> Operation:
    with translated(f"endpoint {service.name}"):
        state, error, _ = service._get_operation_state()
    return Operation(str(state), _line(error))


def _line(error: object) -> str:
    """The innermost reason of an error that the service answered with."""
    if not isinstance(error, dict):
        return " ".join(str(error or "").split())[:MAXIMUM_LENGTH]
    details = error.get("details")
    inner = details[0].get("message") if isinstance(details, list) and details and isinstance(details[0], dict) else None
    text = inner or error.get("message") or json.dumps(error)
    return " ".join(str(text).split())[:MAXIMUM_LENGTH]
