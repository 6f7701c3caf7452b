"""`bankmlops emulator`: hands its words on to the emulator's own commands, which are imported when they are asked for."""

from __future__ import annotations

import typer
from typer.main import get_command

from bankmlops.cli.command import command
from bankmlops.cli.session import Session

application = typer.Typer()


@command(
    application,
    "emulator",
    'bankmlops emulator start && eval "$(bankmlops emulator env)"',
    "bankmlops emulator run -- python your_script.py",
    forwards=True,
)
def emulator(session: Session) -> None:
    """Start, stop and use an emulator of Azure ML: start, stop, status, env, run."""
    from bankmlops.emulator.commands import app

    code = get_command(app)(args=list(session.words) or ["--help"], prog_name="bankmlops emulator", standalone_mode=False)
    raise typer.Exit(code if isinstance(code, int) else 0)
