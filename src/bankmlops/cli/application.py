"""The whole command: its groups, and the options that may stand before any of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from bankmlops.cli.command import Debug, examples_of, show_help
from bankmlops.cli.exits import INTERRUPTED, report_usage, usage_error
from bankmlops.cli.session import Settings

# Each command or group: the module that has it, and its line in the help. A module is imported when its command is called.
PARTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "data": ("data", "Register tables, and generate one."),
        "automl": ("automl", "Search for the best model, and look at what was found."),
        "models": ("models", "Register the best model of a run, and look at what is registered."),
        "endpoints": ("endpoints", "Serve a model, and look after what serves it."),
        "score": ("consume", "Print the label that an endpoint gives to each row, or score whole files."),
        "monitor": ("monitor", "Compare the inputs of an endpoint with its model's training."),
        "insights": ("insights", "Ask an endpoint's telemetry in SQL, and write its report."),
        "export-telemetry": ("export_telemetry", "Send an endpoint's requests to OpenTelemetry or Application Insights."),
        "feedback": ("feedback", "Take in the true labels of requests, which arrive later."),
        "online": ("online", "Learn from labels that arrive late, beside the champion, and promote what is better."),
        "benchmark": ("consume", "Load an endpoint, and print what ApacheBench prints."),
        "pipelines": ("pipelines", "Publish the training behind a REST endpoint, trigger it, and watch its runs."),
        "pipeline-endpoints": ("pipeline_endpoints", "Keep one address for a pipeline, and exchange what stands behind it."),
        "schedules": ("schedules", "Run a published pipeline by the clock, or on new data."),
        "up": ("operate", "Start what published pipelines need."),
        "down": ("operate", "Stop what `up` started."),
        "worker": ("worker", "Carry out pipelines' steps from PostgreSQL, beside the control server."),
        "ui": ("ui", "Open the page that shows the workspace."),
        "tokens": ("tokens", "Give others a token for the control server, and take it back."),
        "audit": ("audit", "Show who triggered, published, deployed and scheduled what."),
        "status": ("operate", "Show what the workspace holds, what runs in it, and what costs money."),
        "e2e": ("e2e", "Run the whole flow, from a table to a triggered pipeline."),
        "emulator": ("emulator", "Start, stop and use an emulator of Azure ML."),
    }
)


class _Parts(TyperGroup):
    """The groups and commands by name. For the help their lines are enough."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name=name, help=line) for name, (_, line) in PARTS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        return (args[0], _load(args[0]), args[1:]) if args[0] in PARTS else super().resolve_command(ctx, args)


def _load(name: str) -> Any:
    loaded = get_command(import_module(f"bankmlops.cli.{PARTS[name][0]}").application)
    return loaded.commands.get(name, loaded) if isinstance(loaded, TyperGroup) else loaded


application = typer.Typer(
    name="bankmlops",
    cls=_Parts,
    help="From a table to a served, watched model and a pipeline that a POST triggers: here, or on Azure ML.",
    epilog=examples_of(
        "bankmlops e2e", "bankmlops automl run --data bank.csv --label y --minutes 2", "bankmlops --backend azure status"
    ),
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        from bankmlops import __version__

        typer.echo(f"bankmlops {__version__}")
        raise typer.Exit


@application.callback(invoke_without_command=True)
def _before_each(
    context: typer.Context,
    backend: Annotated[
        str, typer.Option("--backend", metavar="local|azure", envvar="BANKMLOPS_BACKEND", help="Where to work.")
    ] = "local",
    workspace: Annotated[
        Path, typer.Option("--workspace", metavar="DIR", envvar="BANKMLOPS_WORKSPACE", help="The folder of the local state.")
    ] = Path(".bankmlops"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    debug: Debug = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    context.obj = Settings(backend, workspace, as_json, debug)
    show_help(context)


def main() -> None:
    """Run the words of the command line, and end this process with the command's exit code."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal that lacks a character shows another
    sys.exit(run(sys.argv[1:]))


def run(words: list[str]) -> int:
    """Run one command, and answer its exit code."""
    try:
        return get_command(application)(args=words, prog_name="bankmlops", standalone_mode=False) or 0
    except typer.Abort:
        return INTERRUPTED
    except Exception as error:
        if isinstance(error, usage_error):
            return report_usage(error)
        raise
