"""`bankmlops emulator`: start, stop, status, env, config, run, record and fault. Words to calls, calls to words."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from bankmlops.emulator import launch
from bankmlops.emulator.control_client import ask
from bankmlops.emulator.home import VARIABLE, Home, Running, default_folder
from bankmlops.emulator.scripts.run_command import own_home, run_to_end
from bankmlops.emulator.surroundings import client_environment, complete_environment, shell_lines
from bankmlops.emulator.workspace_file import lent_workspace_file, named_subscriptions, workspace_config
from bankmlops.errors import InvalidRequestError, NotFoundError

app = typer.Typer(
    name="emulator",
    help="Azure ML's wire on this machine: Microsoft's SDK, unchanged, runs against it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

StateOption = Annotated[
    Path | None, typer.Option("--state", envvar=VARIABLE, help="The emulator's folder (default: one of the user's own).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SubscriptionOption = Annotated[
    list[str] | None,
    typer.Option("--subscription", help="A subscription id that a script names itself (a config.json's is known); repeatable."),
]
TimeScaleOption = Annotated[float, typer.Option("--time-scale", help="The share of an asked AutoML budget to use, up to 1.")]
PublicBlobsOption = Annotated[
    Path | None,
    typer.Option("--public-blobs", help="Answer the files of this folder, ACCOUNT/CONTAINER/PATH, as public blobs of Azure."),
]


@app.command()
def start(
    state: StateOption = None,
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="Keep no state when it stops.")] = False,
    time_scale: TimeScaleOption = launch.TIME_SCALE,
    public_blobs: PublicBlobsOption = None,
    port: Annotated[int, typer.Option("--port", help="HTTP on this port, TLS and the proxy on the next two (0: free ones).")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Start the emulator in the background. Then: eval "$(bankmlops emulator env)"."""
    public = _checked_folder(public_blobs)
    options = launch.Options(ephemeral, _checked_scale(time_scale), _checked_port(port), public_blobs=public)
    running = launch.start(_home(state), options)
    document = _document(running)
    _say(document, as_json, f"the emulator serves {document['base_url']} as process {running.pid}")


@app.command()
def stop(state: StateOption = None, as_json: JsonOption = False) -> None:
    """Stop the emulator and all that it started; its state stays, unless it is ephemeral."""
    home = _home(state)
    stopped = launch.stop(home)
    _say({"stopped": stopped}, as_json, "the emulator is stopped" if stopped else f"no emulator runs in {home.folder}")


@app.command()
def env(state: StateOption = None, subscription: SubscriptionOption = None, as_json: JsonOption = False) -> None:
    """Print what a shell has to set: eval "$(bankmlops emulator env)"."""
    home = _home(state)
    running = _running(home)
    variables = client_environment(home, running, os.environ)
    _introduce(running, subscription)
    _say(variables, as_json, shell_lines(variables, os.environ))


@app.command()
def config(as_json: JsonOption = False) -> None:  # noqa: ARG001  it is JSON in any case
    """Print a config.json for Workspace.from_config(): bankmlops emulator config > config.json."""
    typer.echo(json.dumps(workspace_config(), indent=2))


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run(
    context: typer.Context,
    command: Annotated[list[str], typer.Argument(help="The command, after --.", metavar="-- COMMAND...")],
    state: StateOption = None,
    time_scale: TimeScaleOption = launch.TIME_SCALE,
    public_blobs: PublicBlobsOption = None,
    subscription: SubscriptionOption = None,
) -> None:
    """Run one command against an emulator of its own, or the one that runs in --state. Its exit code is this command's."""
    if state is not None and (time_scale != launch.TIME_SCALE or public_blobs):
        named = "--public-blobs" if public_blobs else "--time-scale"
        from_shell = str(getattr(context.get_parameter_source("state"), "name", "")) == "ENVIRONMENT"
        otherwise = f"unset {VARIABLE}, which `env` has set" if from_shell else "leave --state out"
        raise InvalidRequestError(f"{named} is the running emulator's; give it to `start`, or {otherwise}")
    with tempfile.TemporaryDirectory(prefix="bankmlops-emulator-", ignore_cleanup_errors=True) as folder:
        if state is not None:
            home = _home(state)
            code = _run_against(home, _running(home), command, Path(folder) / "home", subscription)
        else:
            home = Home(Path(folder) / "emulator")
            with launch.own(home, _own_options(time_scale, public_blobs)) as own:
                code = _run_against(home, own, command, Path(folder) / "home", subscription)
    raise typer.Exit(code)


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def record(
    command: Annotated[list[str], typer.Argument(help="The command, after --.", metavar="-- COMMAND...")],
    to: Annotated[Path, typer.Option("--to", help="The file, JSON lines; an old one is replaced.")] = Path(
        "emulator-record.jsonl"
    ),
    time_scale: TimeScaleOption = launch.TIME_SCALE,
    public_blobs: PublicBlobsOption = None,
    subscription: SubscriptionOption = None,
) -> None:
    """Run one command as `run` does, and write what it asked and got, without secrets: to report what the emulator lacks."""
    options = replace(_own_options(time_scale, public_blobs), record=_absolute(to))
    with tempfile.TemporaryDirectory(prefix="bankmlops-emulator-", ignore_cleanup_errors=True) as folder:
        home = Home(Path(folder) / "emulator")
        with launch.own(home, options) as own:
            code = _run_against(home, own, command, Path(folder) / "home", subscription)
            lacking = ask(own, "/status")["unanswered"]
    lines = [f"what the command asked and got is in {to}; read it through before you show it to others"]
    lines += [f"not emulated, asked {each['count']} times: {each['route']}" for each in lacking]
    typer.echo("\n".join(lines), err=True)
    raise typer.Exit(code)


@app.command()
def status(state: StateOption = None, as_json: JsonOption = False) -> None:
    """Say what runs, what it keeps, and what it was asked for in vain. Exit code 3 where nothing runs."""
    home = _home(state)
    running = home.find()
    if running is None:
        _say({"running": False, "home": str(home.folder)}, as_json, f"no emulator runs in {home.folder}")
        raise typer.Exit(3)
    document = {"running": True, "home": str(home.folder), **_document(running), **ask(running, "/status")}
    _say(document, as_json, _status_text(document))


@app.command()
def fault(
    route: Annotated[str, typer.Argument(help="A part of `METHOD /path`, such as `/services`.")],
    status_code: Annotated[int, typer.Option("--status", help="Answer with this code (0: answer as usual).")] = 0,
    delay: Annotated[float, typer.Option("--delay", help="Seconds to wait first.")] = 0.0,
    times: Annotated[int, typer.Option("--times", help="How many requests meet the fault.")] = 1,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have a route answer slowly or with an error for a while: bankmlops emulator fault /services --status 503 --times 3."""
    faults = ask(_running(_home(state)), "/faults", {"route": route, "status": status_code, "delay": delay, "times": times})
    _say(faults, as_json, f"{len(faults)} faults are armed")


def _run_against(home: Home, running: Running, command: list[str], own: Path, subscriptions: list[str] | None) -> int:
    _introduce(running, subscriptions)
    environment = complete_environment(home, running, os.environ)
    with lent_workspace_file(Path.cwd()) as lent:
        if lent is not None:
            typer.echo(f"no config.json here: lent {lent.relative_to(Path.cwd())} for as long as the command runs", err=True)
        return run_to_end(command, own_home(environment, str(own)))


def _introduce(running: Running, subscriptions: list[str] | None) -> None:
    """Tell the emulator of subscriptions that the SDK will look for before it asks for anything else."""
    named = [*(subscriptions or []), *named_subscriptions(Path.cwd(), os.environ)]
    if named:
        ask(running, "/subscriptions", named)


def _status_text(document: dict[str, Any]) -> str:
    kept = ", ".join(f"{count} {kind}" for kind, count in document["documents"].items()) or "nothing"
    lines = [
        f"the emulator serves {document['base_url']} as process {document['pid']}",
        f"state: {document['state']}{' (ephemeral)' if document['ephemeral'] else ''}, time scale {document['time_scale']:g}",
        f"workspaces: {document['workspaces']}, blobs: {document['blobs']}, documents: {kept}",
        *(f"armed fault: {_fault_text(each)}" for each in document["faults"]),
        *(f"not emulated, asked {each['count']} times: {each['route']}" for each in document["unanswered"]),
    ]
    return "\n".join(lines)


def _fault_text(fault: dict[str, Any]) -> str:
    return f"{fault['route']} -> {fault['status'] or 'as usual'} after {fault['delay']:g} s, {fault['times']} times"


def _own_options(time_scale: float, public_blobs: Path | None) -> launch.Options:
    return launch.Options(time_scale=_checked_scale(time_scale), public_blobs=_checked_folder(public_blobs))


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _home(state: Path | None) -> Home:
    return Home(_absolute(state or default_folder()))


def _running(home: Home) -> Running:
    running = home.find()
    if running is None:
        raise NotFoundError(f"no emulator runs in {home.folder}; start one with: bankmlops emulator start")
    return running


def _document(running: Running) -> dict[str, Any]:
    return {
        "pid": running.pid,
        "base_url": running.addresses.base_url,
        "https_port": running.addresses.https_port,
        "proxy_port": running.addresses.proxy_port,
        "state": str(running.state),
        "ephemeral": running.ephemeral,
        "time_scale": running.time_scale,
    }


def _checked_scale(value: float) -> float:
    if not 0 < value <= 1:
        raise InvalidRequestError(f"--time-scale is {value}; give a number above 0 and at most 1")
    return value


def _checked_folder(public_blobs: Path | None) -> Path | None:
    folder = public_blobs and _absolute(public_blobs)
    if folder and not folder.is_dir():
        raise InvalidRequestError(
            f"--public-blobs {public_blobs}: there is no such folder; one of ACCOUNT/CONTAINER/PATH would serve"
        )
    return folder


def _checked_port(value: int) -> int:
    if value and not 1024 <= value <= 65_533:
        raise InvalidRequestError(f"--port is {value}; give 0, or a number from 1024 to 65533")
    return value


def _say(document: object, as_json: bool, text: str) -> None:
    typer.echo(json.dumps(document, indent=2) if as_json else text)
