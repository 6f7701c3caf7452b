"""`bankmlops audit`: who triggered, published, deployed and scheduled what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bankmlops.cli.command import command
from bankmlops.cli.drawing import draw_table
from bankmlops.cli.session import Session
from bankmlops.connect import control_desk
from bankmlops.types import AuditEntry

if TYPE_CHECKING:
    from bankmlops.cli.tables import Column

application = typer.Typer()


@command(application, "audit", "bankmlops audit", "bankmlops audit --last 1000 --json")
def audit(
    session: Session, last: Annotated[int, typer.Option("--last", metavar="N", help="How many of the newest entries.")] = 50
) -> None:
    """Show the newest entries of the workspace's audit log, the newest last."""
    session.show(control_desk(session.settings.backend, session.settings.workspace).audit(last), _draw)


def _draw(entries: Sequence[AuditEntry]) -> Any:
    columns: Sequence[Column] = (
        ("moment", lambda each: each.moment),
        ("who", lambda each: each.actor),
        ("did", lambda each: each.action),
        ("to", lambda each: each.subject),
        ("from", lambda each: each.origin),
        ("", lambda each: each.detail),
    )
    return draw_table(entries, columns, "entries")
