"""Telemetry as the scoring service writes it."""

from __future__ import annotations

from pathlib import Path

from bankmlops.scoring.telemetry import RequestRow

LOG = [
    "2001-09-09T01:46:40.000Z INFO POST /score 200 1.500ms rows=2 bytes=64 key=Primary model=bank:1 request_id=id-0",
    "2001-09-09 01:46:41,250 ERROR POST '/score' failed, request_id=id-3",
    "Traceback (most recent call last):",
    '  File "model.py", line 1, in run',
    "    raise ValueError('it <broke>: here')",
    "ValueError: it <broke>: here",
    "2001-09-09 01:46:42,250 WARNING request log: 3 rows dropped so far",
]


def write_telemetry(path: Path, count: int = 100, seconds: float = 1.0) -> Path:
    """`count` requests, `seconds` apart; every tenth was refused and every twentieth failed."""
    row = RequestRow(1e9, "", "", "POST", "/score", 200, 2, 64, 1.0, 0.5, "Primary", "bank:1", "", True)
    rows = []
    for index in range(count):
        status, error = (500, "An error") if index % 20 == 5 else (400, "row 0, column 'age'") if index % 10 == 0 else (200, "")
        rows.append(
            row._replace(
                timestamp=1e9 + index * seconds,
                request_id=f"id-{index}",
                status=status,
                error=error,
                duration_ms=float(index + 1),
            )
        )
    path.write_text("".join(each.telemetry() for each in rows) + '{"timestamp":"2001-')
    return path
