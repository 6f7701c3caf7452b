"""`bankmlops models`: the registry."""

from __future__ import annotations

from typing import Annotated

import typer

from bankmlops.cli.automl import RunId
from bankmlops.cli.command import command, group
from bankmlops.cli.drawing import draw_model, draw_models
from bankmlops.cli.hints import after_model
from bankmlops.cli.references import automl_run_id
from bankmlops.cli.session import Session

application = group("models", "Register the best model of a run, and look at what is registered.")


@command(application, "register", "bankmlops models register latest --name bank")
def register(
    session: Session,
    run: RunId,
    name: Annotated[str, typer.Option("--name", help="The model's name.")],
) -> None:
    """Make a run's best model a new version and the champion, if its export passes the parity gate."""
    with session.busy(f"registering {name}"):
        model = session.backend.register_model(automl_run_id(session.backend, run), name)
    session.show(model, draw_model)
    session.hint(after_model(session, model))


@command(application, "list", "bankmlops models list")
def list_models(session: Session) -> None:
    """List the newest version of each model."""
    session.show(session.backend.list_models(), draw_models)


@command(application, "show", "bankmlops models show bank", "bankmlops models show bank --version 2")
def show(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model's name.")],
    version: Annotated[str | None, typer.Option("--version", help="One version: the newest, if left out.")] = None,
) -> None:
    """Show one version of a model."""
    session.show(session.backend.get_model(name, version), draw_model)
