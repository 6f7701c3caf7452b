"""A process that was forked for one piece of work, its end with its parent's, and how such a one ended."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
from collections.abc import Callable
from typing import NoReturn

_LOG = logging.getLogger("bankmlops.scoring")
_PR_SET_PDEATHSIG = 1


def live(work: Callable[[], int]) -> NoReturn:
    """Do the work in this process, which was forked for it, and end with it: nothing of the parent's code goes on here."""
    code = 1
    try:
        code = work()
    except Exception:
        _LOG.exception("process %d failed", os.getpid())
    finally:
        os._exit(code)


def end_with(parent: int) -> None:
    """Linux: have the kernel kill this process when its parent, which has this number, dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(1)


def how_it_ended(status: int) -> str:
    """What `waitpid` says of a process, in words."""
    code = os.waitstatus_to_exitcode(status)
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
