"""The control server as it is, with breakpoints, and with training by script: `python -m support.breakable_control_server`."""

from __future__ import annotations

from bankmlops.local.control import server as control_server
from support import breakpoints

if __name__ == "__main__":
    breakpoints.installed_from_environment()
    control_server.main()
