"""`bankmlops export-telemetry`: hand an endpoint's requests on to OpenTelemetry or Application Insights."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated

import typer

from bankmlops.cli.command import command
from bankmlops.cli.endpoints import Name
from bankmlops.cli.session import Session
from bankmlops.errors import BackendUnavailableError, InvalidRequestError

if TYPE_CHECKING:
    from bankmlops.insights.destination import Destination
    from bankmlops.insights.export import Exported, Exporter

application = typer.Typer()


@command(
    application,
    "export-telemetry",
    "bankmlops export-telemetry bank-endpoint --otlp http://127.0.0.1:4318",
    "bankmlops export-telemetry bank-endpoint --application-insights --follow",
)
def export_telemetry(
    session: Session,
    name: Name,
    otlp: Annotated[
        str | None,
        typer.Option("--otlp", metavar="URL", help="An OTLP/HTTP receiver; OTEL_EXPORTER_OTLP_HEADERS may hold its key."),
    ] = None,
    application_insights: Annotated[
        bool,
        typer.Option("--application-insights", help="The resource that APPLICATIONINSIGHTS_CONNECTION_STRING names."),
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is recorded until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option("--every", metavar="SECONDS", min=0.1, max=3600.0, help="With --follow.")] = 5.0,
) -> None:
    """Send the requests that an endpoint recorded, each as a span; the next call goes on where this one ended."""
    from httpx import Client

    from bankmlops.client import session_options
    from bankmlops.insights.export import Exporter
    from bankmlops.insights.sending import TIMEOUT_SECONDS, Sender

    destination = _destination(otlp, application_insights)
    with Client(timeout=TIMEOUT_SECONDS, **session_options(destination.address)) as client:
        folder = session.settings.workspace / "exported-telemetry"
        exporter = Exporter(session.backend, name, destination, Sender(destination, client), folder)
        done = exporter.export()
        session.show(done, _drawn)
        while follow:
            time.sleep(every)
            _go_on(session, exporter)


def _go_on(session: Session, exporter: Exporter) -> None:
    """One more time. A receiver that is away may come back: the endpoint's files keep what it misses, as long as they can."""
    try:
        done = exporter.export()
    except BackendUnavailableError as error:
        session.note(str(error))
        return
    if done.sent or done.gap:
        session.show(done, _drawn)


def _destination(otlp: str | None, application_insights: bool) -> Destination:
    from bankmlops.insights.application_insights import VARIABLE, ApplicationInsights

    if (otlp is None) is not application_insights:
        raise InvalidRequestError("where to? --otlp URL or --application-insights would serve, one of the two")
    if otlp is None:
        return ApplicationInsights.of(os.environ.get(VARIABLE, ""))
    from bankmlops.insights.otlp import HEADERS_VARIABLE, Otlp

    return Otlp.at(otlp, os.environ.get(HEADERS_VARIABLE, ""))


def _drawn(done: Exported) -> str:
    refused = f", of which {done.refused:,} were refused: {done.reason}" if done.refused else ""
    gap = "; others were recorded and gone before they could be sent" if done.gap else ""
    return f"sent {done.sent:,} requests{refused}{gap}"
