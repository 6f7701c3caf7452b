"""`bankmlops pipeline-endpoints`: addresses that stay, while the pipeline behind them is exchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bankmlops.cli.command import command, group
from bankmlops.cli.drawing import draw_table
from bankmlops.cli.references import pipeline_endpoint, published_pipeline
from bankmlops.cli.session import Session
from bankmlops.types import PipelineEndpoint

if TYPE_CHECKING:
    from bankmlops.cli.tables import Column

application = group("pipeline-endpoints", "Keep one address for a pipeline, and exchange what stands behind it.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The pipeline endpoint's name, or its id.")]
Pipeline = Annotated[str, typer.Option("--pipeline", metavar="NAME", help="The published pipeline's name, or its id.")]
Version = Annotated[str | None, typer.Option("--version", help="Its version: the newest that is active, if left out.")]


@command(application, "create", "bankmlops pipeline-endpoints create retraining --pipeline bank-training")
def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The pipeline endpoint's name.")],
    pipeline: Pipeline,
    version: Version = None,
    description: Annotated[str, typer.Option("--description", help="A line for those who come later.")] = "",
) -> None:
    """Make an address that runs a published pipeline, and may run others later."""
    behind = published_pipeline(session.backend, pipeline, version)
    session.show(session.backend.create_pipeline_endpoint(name, behind.id, description), _draw)


@command(application, "list", "bankmlops pipeline-endpoints list")
def list_endpoints(session: Session) -> None:
    """List every pipeline endpoint, by name."""
    session.show(session.backend.list_pipeline_endpoints(), _draw_all)


@command(application, "show", "bankmlops pipeline-endpoints show retraining")
def show(session: Session, name: Name) -> None:
    """Show a pipeline endpoint: its address, and the pipelines behind it by version."""
    session.show(pipeline_endpoint(session.backend, name), _draw)


@command(application, "set-default", "bankmlops pipeline-endpoints set-default retraining --pipeline bank-training --version 2")
def set_default(session: Session, name: Name, pipeline: Pipeline, version: Version = None) -> None:
    """Have the address run this published pipeline from now on."""
    endpoint, behind = pipeline_endpoint(session.backend, name), published_pipeline(session.backend, pipeline, version)
    session.show(session.backend.set_default_pipeline(endpoint.id, behind.id), _draw)


@command(application, "enable", "bankmlops pipeline-endpoints enable retraining")
def enable(session: Session, name: Name) -> None:
    """Take triggers again."""
    session.backend.enable_pipeline_endpoint(pipeline_endpoint(session.backend, name).id)
    session.show(pipeline_endpoint(session.backend, name), _draw)


@command(application, "disable", "bankmlops pipeline-endpoints disable retraining")
def disable(session: Session, name: Name) -> None:
    """Refuse further triggers."""
    session.backend.disable_pipeline_endpoint(pipeline_endpoint(session.backend, name).id)
    session.show(pipeline_endpoint(session.backend, name), _draw)


def _draw(endpoint: PipelineEndpoint) -> Any:
    from bankmlops.cli.tables import details

    return details(endpoint)


def _draw_all(endpoints: Sequence[PipelineEndpoint]) -> Any:
    columns: Sequence[Column] = (
        ("name", lambda each: each.name),
        ("default", lambda each: each.default_version),
        ("versions", lambda each: len(each.versions)),
        ("status", lambda each: each.status),
        ("endpoint", lambda each: each.endpoint),
    )
    return draw_table(endpoints, columns, "pipeline endpoints")
