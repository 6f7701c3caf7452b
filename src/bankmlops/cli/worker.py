"""`bankmlops worker`: takes pipeline steps from PostgreSQL until it is stopped."""

from __future__ import annotations

from typing import Annotated

import typer

from bankmlops.cli.command import command
from bankmlops.cli.session import Session
from bankmlops.connect import run_worker

application = typer.Typer()


@command(
    application,
    "worker",
    "BANKMLOPS_DATABASE_URL=postgresql://bank@db/bank bankmlops worker",
    "bankmlops worker --drain-seconds 60",
)
def worker(
    session: Session,
    drain_seconds: Annotated[
        float, typer.Option("--drain-seconds", min=0, max=3600, help="How long a step may go on after SIGTERM or Ctrl-C.")
    ] = 10.0,
) -> None:
    """Carry out steps of pipelines beside the control server, from the PostgreSQL that BANKMLOPS_DATABASE_URL names."""
    run_worker(session.settings.backend, session.settings.workspace, drain_seconds)
