"""`bankmlops up`, `down` and `status`: what runs for a workspace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from bankmlops.cli.command import command
from bankmlops.cli.session import Session

application = typer.Typer()


@command(application, "up", "bankmlops up")
def up(session: Session) -> None:
    """Start what published pipelines need, and print where they are served."""
    with session.busy("starting what pipelines need"):
        url = session.backend.up()
    session.show({"url": url}, lambda served: f"pipelines are served at {served['url']}")


@command(application, "down", "bankmlops down")
def down(session: Session) -> None:
    """Stop what `up` started; endpoints stay as they are."""
    with session.busy("stopping what `up` started"):
        session.backend.down()
    session.show({"down": True}, lambda _: "what `up` started is down")


@command(application, "status", "bankmlops status", "bankmlops --backend azure status --json")
def status(session: Session) -> None:
    """Show what the workspace holds, what runs in it, and what costs money."""
    backend = session.backend
    workspace = backend.authenticate()
    found = {
        "workspace": workspace,
        "datasets": backend.list_datasets(),
        "unfinished_runs": [run for run in backend.list_runs() if not run.status.is_final],
        "models": backend.list_models(),
        "endpoints": backend.list_endpoints(),
        "published_pipelines": backend.list_published_pipelines(),
        "schedules": backend.list_schedules(),
        "costs_money": backend.costly_resources(),
    }
    session.show(found, _draw)


def _draw(found: Mapping[str, Any]) -> Any:
    from bankmlops.cli.tables import pairs

    workspace = found["workspace"]
    shown: dict[str, object] = {"workspace": f"{workspace.name} in {workspace.location}"}
    shown["datasets"] = _named(f"{each.name} ({each.rows:,} rows)" for each in found["datasets"])
    shown["models"] = _named(f"{each.name} {each.version}" for each in found["models"])
    shown["unfinished runs"] = _named(f"{each.id}: {each.progress or each.status}" for each in found["unfinished_runs"])
    shown["endpoints"] = _named(f"{each.name} ({each.state}) {each.scoring_uri}" for each in found["endpoints"])
    shown["published pipelines"] = _named(f"{each.name} {each.version} ({each.status})" for each in found["published_pipelines"])
    shown["schedules"] = _named(f"{each.config.name} ({each.status})" for each in found["schedules"])
    shown["costs money"] = _named(f"{each.kind} {each.name}" for each in found["costs_money"])
    return pairs(shown)


def _named(names: Any) -> Sequence[str] | str:
    return tuple(names) or "none"
