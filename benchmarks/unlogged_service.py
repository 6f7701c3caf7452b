"""The scoring service without its request log, which no setting takes away: what it is faster by is what the log costs.

python benchmarks/unlogged_service.py --service-dir DIR --port PORT
"""

from __future__ import annotations

import sys

from bankmlops.scoring.__main__ import main
from bankmlops.scoring.telemetry import RequestLog, RequestRow


def _forget(_: RequestLog, __: RequestRow) -> None:
    """In the place of `RequestLog.put`."""


if __name__ == "__main__":
    RequestLog.put = _forget  # type: ignore[method-assign]
    sys.exit(main())
