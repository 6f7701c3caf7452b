"""Faults on demand: a route that answers slowly or with an error for a while, so that a client's patience can be tested."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass

MAX_DELAY_SECONDS = 300.0


@dataclass(slots=True)
class Fault:
    """The next `times` requests whose "METHOD /path" contains `route` wait `delay` seconds; status 0 then serves them."""

    route: str
    status: int = 0
    times: int = 1
    delay: float = 0.0


class Faults:
    """The faults that are still to come."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Arm one more."""
        fault.delay = min(max(fault.delay, 0.0), MAX_DELAY_SECONDS)
        with self._lock:
            self._faults.append(fault)

    def take(self, request_line: str) -> Fault | None:
        """The fault that this request meets, counted down; None in nearly all cases."""
        if not self._faults:
            return None
        with self._lock:
            for fault in self._faults:
                if fault.route in request_line:
                    fault.times -= 1
                    self._faults = [each for each in self._faults if each.times > 0]
                    return fault
        return None

    def listed(self) -> list[dict[str, object]]:
        """Those still armed, as JSON."""
        with self._lock:
            return [asdict(fault) for fault in self._faults]
