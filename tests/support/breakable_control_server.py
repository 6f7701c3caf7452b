"""The control server as it is, with breakpoints, and with training by script: `python -m support.breakable_control_server`.

`SEES_NO_PROCESSES=1` has it find no process to end, as on a machine on which none of a run's processes are.
"""

from __future__ import annotations

import os

import psutil

from bankmlops.local.control import server as control_server
from support import breakpoints

if __name__ == "__main__":
    breakpoints.installed_from_environment()
    if os.environ.get("SEES_NO_PROCESSES") == "1":
        psutil.process_iter = lambda *_: iter(())  # type: ignore[assignment]
    control_server.main()
