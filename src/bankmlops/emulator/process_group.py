"""How a process that leads a group ends, with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from contextlib import suppress

GRACE_SECONDS = 5.0


def end_group(leader: subprocess.Popen[bytes], pump: threading.Thread) -> None:
    """Ask the group to end, end it after `GRACE_SECONDS`, and let `pump` write the last of its log. Idempotent."""
    _signal(leader, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        leader.wait(GRACE_SECONDS)
    _signal(leader, signal.SIGKILL)
    leader.wait()
    pump.join(GRACE_SECONDS)


def _signal(leader: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader.pid, number)
