"""A process that was forked for one piece of work, and how such a one ended."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from typing import NoReturn

_LOG = logging.getLogger("bankmlops.scoring")


def live(work: Callable[[], int]) -> NoReturn:
    """Do the work in this process, which was forked for it, and end with it: nothing of the parent's code goes on here."""
    code = 1
    try:
        code = work()
    except Exception:
        _LOG.exception("process %d failed", os.getpid())
    finally:
        os._exit(code)


def how_it_ended(status: int) -> str:
    """What `waitpid` says of a process, in words."""
    code = os.waitstatus_to_exitcode(status)
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
