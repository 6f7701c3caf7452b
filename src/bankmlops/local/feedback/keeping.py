"""Keeps what endpoints collect before it is rotated away, in the control server, so that a label may come much later.

Only where a delivery of labels came before: nobody else's requests are kept twice.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from bankmlops.local.feedback.store import FILE, KIND, FeedbackStore
from bankmlops.local.workspace import LocalWorkspace

_SECONDS = 5.0
_RETRY_SECONDS = 30.0

logger = logging.getLogger("bankmlops.feedback")


class Keeper:
    """Looks at the endpoints of one workspace at each `look`."""

    def __init__(self, workspace: LocalWorkspace) -> None:
        self._workspace = workspace

    def run(self, leaving: threading.Event) -> None:
        """Look until `leaving` is set."""
        while not leaving.wait(_SECONDS):
            if not self.look():
                leaving.wait(_RETRY_SECONDS)

    def look(self) -> bool:
        """Copy what was collected since the last look, or the last delivery. False where one could not be, which the log says."""
        return not [name for name in self._names() if not self._keep(name)]

    def _keep(self, name: str) -> bool:
        try:
            FeedbackStore(self._workspace.path_of(KIND, name) / FILE).take(self._workspace.path_of("endpoints", name))
        except Exception:
            logger.exception("what endpoint %s collected can't be kept; it is tried again", name)
            return False
        return True

    def _names(self) -> Sequence[str]:
        """As folders are called."""
        return sorted(path.parent.name for path in (self._workspace.folder / KIND).glob(f"*/{FILE}"))
