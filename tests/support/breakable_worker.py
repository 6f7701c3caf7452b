"""A worker as it is, with breakpoints, and training by script: `python -m support.breakable_worker WORKSPACE DRAIN_SECONDS`."""

from __future__ import annotations

import sys
from pathlib import Path

from bankmlops.local.pipelines.worker import run_worker
from support import breakpoints

if __name__ == "__main__":
    breakpoints.installed_from_environment()
    run_worker(Path(sys.argv[1]), float(sys.argv[2]))
