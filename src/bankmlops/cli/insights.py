"""`bankmlops insights`: ask an endpoint's telemetry in SQL, and write its report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bankmlops.cli.command import command
from bankmlops.cli.endpoints import Name
from bankmlops.cli.files import write_page
from bankmlops.cli.session import Session

if TYPE_CHECKING:
    from bankmlops.insights.query import Answer

Query = Annotated[
    str | None,
    typer.Argument(
        metavar="SQL", help="One SELECT over requests, traces, exceptions; a summary, if left out.", show_default=False
    ),
]

application = typer.Typer()


@command(
    application,
    "insights",
    "bankmlops insights bank-endpoint",
    'bankmlops insights bank-endpoint "SELECT resultCode, count(*) FROM requests GROUP BY ALL"',
    "bankmlops insights bank-endpoint --html report.html",
)
def insights(
    session: Session,
    name: Name,
    query: Query = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a report of rate, failures and latency over time.")
    ] = None,
) -> None:
    """Ask what an endpoint recorded, in SQL: requests (while app insights was on), traces and exceptions of its log."""
    from bankmlops.insights.query import SUMMARY, ask
    from bankmlops.insights.report import report
    from bankmlops.insights.telemetry import open_telemetry

    with open_telemetry(session.backend, name) as connection:
        answer = ask(connection, query or SUMMARY)
        if html is not None:
            write_page(html, report(connection, name))
    _show(session, answer)
    if answer.truncated:
        session.note(f"there are more rows than the {len(answer.rows):,} that are shown; aggregate, or add a LIMIT")
    if html is not None:
        session.note(f"the report is in {html}")


def _show(session: Session, answer: Answer) -> None:
    session.show(answer.records(), lambda _records: _draw(answer))


def _draw(answer: Answer) -> Any:
    from bankmlops.cli.tables import table

    if not answer.rows:
        return "no rows"
    columns = [(name, lambda row, place=place: _shown(row[place])) for place, name in enumerate(answer.columns)]
    return table(answer.rows, columns)


def _shown(value: Any) -> Any:
    """Times as they are recorded, in UTC, and nested values as JSON."""
    import json
    from datetime import datetime

    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds")
    return json.dumps(value, default=str) if isinstance(value, dict | list) else value
