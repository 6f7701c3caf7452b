"""`bankmlops endpoints`: serve a model, and look after what serves it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bankmlops.cli.command import command, group
from bankmlops.cli.drawing import draw_endpoint, draw_endpoints, draw_keys, draw_lines
from bankmlops.cli.following import new_lines
from bankmlops.cli.hints import after_endpoint
from bankmlops.cli.output import emit, emit_json
from bankmlops.cli.references import reachable_endpoint, registered_model
from bankmlops.cli.session import Session
from bankmlops.cli.text import printable
from bankmlops.cli.words import tags_of
from bankmlops.errors import InvalidRequestError
from bankmlops.types import DeploymentConfig, KeyName, Runtime, UnknownCategories

application = group("endpoints", "Serve a model, and look after what serves it.")

FOLLOW_SECONDS = 1.0
Name = Annotated[str, typer.Argument(metavar="NAME", help="The endpoint's name.")]
Port = Annotated[int, typer.Option("--port", help="The port to serve on; 0 takes a free one.")]
CorsOrigin = typer.Option("--cors-origin", metavar="ORIGIN", help="An origin whose pages may call it; may be given again.")
Unknown = typer.Option("--unknown-categories", help="What becomes of a category that training did not see.")
RuntimeOption = typer.Option("--runtime", help="What serves it here: auto is a container where an engine is at hand.")
Workers = typer.Option("--workers", metavar="N", min=1, help="Processes that answer side by side.")
Collect = typer.Option(
    "--collect-model-data/--no-collect-model-data",
    help="Whether inputs and answers are kept, which `bankmlops monitor` compares.",
)
AppInsights = typer.Option("--app-insights/--no-app-insights", help="Whether each request is recorded.")


@dataclass(frozen=True, slots=True)
class Serving:
    """How a model is served."""

    port: Port = 0
    auth: Annotated[bool, typer.Option("--auth/--no-auth", help="Whether a caller needs a key.")] = True
    app_insights: Annotated[bool, AppInsights] = False
    cpu_cores: Annotated[float, typer.Option("--cpu-cores", help="Cores, where the runtime can bound them.")] = 1.0
    memory_gb: Annotated[float, typer.Option("--memory-gb", help="Memory, where the runtime can bound it.")] = 1.0
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="How long it may take to be healthy.")] = 120.0
    runtime: Annotated[Runtime, RuntimeOption] = Runtime.AUTO
    workers: Annotated[int, Workers] = 1
    cors_origin: Annotated[list[str] | None, CorsOrigin] = None
    plain_json: Annotated[bool, typer.Option("--plain-json", help="Answer JSON, not Azure's JSON in a string.")] = False
    unknown_categories: Annotated[UnknownCategories, Unknown] = UnknownCategories.SCORE
    collect_model_data: Annotated[bool, Collect] = False
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="NAME=VALUE", help="A tag; may be given again.")] = None

    def config(self, name: str) -> DeploymentConfig:
        """The same in Azure ML's words. Raises `InvalidRequestError` for a tag that is none."""
        tags = tags_of(self.tag or ())
        return DeploymentConfig(
            name,
            auth_enabled=self.auth,
            app_insights=self.app_insights,
            cpu_cores=self.cpu_cores,
            memory_gb=self.memory_gb,
            port=self.port,
            timeout_seconds=self.timeout,
            tags=tags,
            workers=self.workers,
            runtime=self.runtime,
            cors_origins=tuple(self.cors_origin or ()),
            plain_json=self.plain_json,
            unknown_categories=self.unknown_categories,
            collect_model_data=self.collect_model_data,
        )


@command(
    application,
    "deploy",
    "bankmlops endpoints deploy bank-endpoint --model bank",
    "bankmlops endpoints deploy bank-endpoint --model bank --version 2 --port 8080 --app-insights",
)
def deploy(
    session: Session,
    name: Name,
    serving: Serving,
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="The registered model to serve.")],
    version: Annotated[str | None, typer.Option("--version", help="One version of it: the newest, if left out.")] = None,
) -> None:
    """Serve a model behind a key, and wait until it is healthy."""
    with session.busy(f"deploying {name}"):
        endpoint = session.backend.deploy_model(session.backend.get_model(model, version), serving.config(name))
    session.show(endpoint, draw_endpoint)
    session.hint(after_endpoint(session, endpoint))


@command(application, "list", "bankmlops endpoints list")
def list_endpoints(session: Session) -> None:
    """List every endpoint."""
    session.show(session.backend.list_endpoints(), draw_endpoints)


@command(application, "show", "bankmlops endpoints show bank-endpoint")
def show(session: Session, name: Name) -> None:
    """Show how an endpoint stands, and its addresses."""
    session.show(session.backend.get_endpoint(name), draw_endpoint)


@command(
    application,
    "update",
    "bankmlops endpoints update bank-endpoint --model bank:2",
    "bankmlops endpoints update bank-endpoint --no-app-insights",
)
def update(
    session: Session,
    name: Name,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME[:V]", help="The registered model to serve: its newest version, if V is left out."),
    ] = None,
    app_insights: Annotated[bool | None, AppInsights] = None,
    collect_model_data: Annotated[bool | None, Collect] = None,
) -> None:
    """Serve another model under the same address and keys, or turn telemetry or the model data collector on or off.

    The new version is tried beside the one that serves, and switched to when it can serve; one that can't changes nothing.
    """
    if model is None and app_insights is None and collect_model_data is None:
        raise InvalidRequestError(
            "nothing to update: --model NAME[:V], --[no-]app-insights or --[no-]collect-model-data would serve"
        )
    if model is not None:
        with session.busy(f"updating {name}"):
            endpoint = session.backend.update_endpoint(name, registered_model(session.backend, model))
    if app_insights is not None:
        endpoint = session.backend.set_app_insights(name, app_insights)
    if collect_model_data is not None:
        endpoint = session.backend.set_data_collection(name, collect_model_data)
    session.show(endpoint, draw_endpoint)


@command(application, "rollback", "bankmlops endpoints rollback bank-endpoint")
def rollback(session: Session, name: Name) -> None:
    """Go back to the model that an endpoint served before its last update; done twice, it is as before."""
    with session.busy(f"going back to what {name} served before"):
        endpoint = session.backend.rollback_endpoint(name)
    session.show(endpoint, draw_endpoint)


@command(application, "keys", "bankmlops endpoints keys bank-endpoint --json")
def keys(session: Session, name: Name) -> None:
    """Print both keys; either opens the endpoint."""
    session.show(session.backend.get_keys(name), draw_keys)


class Which(StrEnum):
    """Which of the two keys, as a person types it."""

    PRIMARY = "primary"
    SECONDARY = "secondary"


@command(application, "regenerate-key", "bankmlops endpoints regenerate-key bank-endpoint secondary")
def regenerate_key(session: Session, name: Name, which: Annotated[Which, typer.Argument(help="Which of the two keys.")]) -> None:
    """Replace one key at once; the other goes on working. Print both."""
    session.show(session.backend.regenerate_key(name, KeyName(which.value.title())), draw_keys)


@command(
    application,
    "logs",
    "bankmlops endpoints logs bank-endpoint",
    "bankmlops endpoints logs bank-endpoint --follow",
)
def logs(
    session: Session,
    name: Name,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing new lines until Ctrl-C.")] = False,
    lines: Annotated[int | None, typer.Option("--lines", "-n", min=1, help="The newest lines alone.")] = None,
) -> None:
    """Print what an endpoint logged, oldest first."""
    found = session.backend.get_logs(name)
    shown = found[-lines:] if lines else found
    if not follow:
        session.show(shown, draw_lines)
        return
    _print(session, shown)
    while True:
        time.sleep(FOLLOW_SECONDS)
        before, found = found, session.backend.get_logs(name)
        _print(session, new_lines(before, found))


def _print(session: Session, lines: Sequence[str]) -> None:
    for line in lines:
        if session.settings.as_json:
            emit_json(line)
        else:
            emit(printable(line))


@command(application, "docs", "bankmlops endpoints docs bank-endpoint", "bankmlops endpoints docs bank-endpoint --port 8081")
def docs(
    session: Session,
    name: Name,
    port: Port = 0,
    browser: Annotated[bool, typer.Option("--browser", help="Open it in a browser.")] = False,
) -> None:
    """Serve a Swagger UI for an endpoint, one in the cloud too, until Ctrl-C. Authorize takes: Bearer KEY."""
    from bankmlops.swagger_ui import Target, serve_docs

    endpoint = reachable_endpoint(session.backend, name)

    def announce(url: str) -> None:
        session.show({"url": url}, lambda served: f"Swagger UI of {name}: {served['url']} (Ctrl-C ends it)")
        if browser:
            typer.launch(url)

    serve_docs(Target(name, endpoint.scoring_uri, endpoint.swagger_uri), port, announce)


@command(application, "export", "bankmlops endpoints export bank-endpoint exported")
def export(
    session: Session,
    name: Name,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An empty folder, or one that is not there yet.")],
) -> None:
    """Write a folder that builds and runs an endpoint's container anywhere, with Kubernetes manifests; no key is in it."""
    from bankmlops.container.export import export_endpoint

    with session.busy(f"exporting {name}"):
        written = export_endpoint(session.backend, name, folder)
    session.show({"folder": str(written)}, lambda shown: f"{shown['folder']}/README.md says how to build and run it")


@command(application, "delete", "bankmlops endpoints delete bank-endpoint")
def delete(session: Session, name: Name) -> None:
    """Take an endpoint down; one that is not there is no error."""
    with session.busy(f"taking {name} down"):
        session.backend.delete_endpoint(name)
    session.show({"deleted": name}, lambda deleted: f"endpoint {deleted['deleted']} is down")
