"""Makes a command of a function: the options that every command has, its examples, and how it ends.

A parameter may be a frozen dataclass whose fields are annotated as parameters are: a bundle of options that belong together.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from bankmlops.cli import interrupts, logs
from bankmlops.cli.exits import reported
from bankmlops.cli.session import Session, Settings

_PANEL = "Options of every command"
BackendName = Annotated[
    str | None,
    typer.Option(
        "--backend", metavar="local|azure", help="Where to work, as BANKMLOPS_BACKEND says too.", rich_help_panel=_PANEL
    ),
]
WorkspaceFolder = Annotated[
    Path | None,
    typer.Option("--workspace", metavar="DIR", help="The folder of the local state.", rich_help_panel=_PANEL),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.", rich_help_panel=_PANEL)]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks and the libraries' logs.", rich_help_panel=_PANEL)]

_COMMON: dict[str, tuple[Any, Any]] = {
    "backend_name": (BackendName, None),
    "workspace_folder": (WorkspaceFolder, None),
    "as_json": (AsJson, False),
    "debug": (Debug, False),
}
Function = Callable[..., None]


def group(name: str, help_line: str) -> typer.Typer:
    """A group of commands, which alone shows its help."""
    application = typer.Typer(
        name=name, help=help_line, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich"
    )
    application.callback(invoke_without_command=True)(show_help)
    return application


def show_help(context: typer.Context) -> None:
    """Print the help where no command was named."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def command(application: typer.Typer, name: str, *examples: str, forwards: bool = False) -> Callable[[Function], Function]:
    """Register a function, whose first parameter is the `Session`, as the command `name`.

    Its docstring is the help, `examples` end it. With `forwards` all words that follow go into `session.words`, options too.
    """

    def register(function: Function) -> Function:
        application.command(name, help=function.__doc__, epilog=examples_of(*examples), context_settings=_context(forwards))(
            _as_typer_function(function)
        )
        return function

    return register


def examples_of(*examples: str) -> str:
    """The last part of a help."""
    return "\n\n".join(["[bold]Examples[/bold]", *(f"  $ {example}".replace("[", r"\[") for example in examples)])


def _context(forwards: bool) -> dict[str, Any]:
    if not forwards:
        return {"help_option_names": ["--help", "-h"]}
    return {
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
        "help_option_names": [],
    }


def _as_typer_function(function: Function) -> Function:
    hints = get_type_hints(function, include_extras=True)
    own = [each for each in inspect.signature(function).parameters.values() if each.name != "session"]
    bundles = {each.name: hints[each.name] for each in own if is_dataclass(hints[each.name])}
    single = [_parameter(each.name, hints[each.name], each.default) for each in own if each.name not in bundles]
    bundled = [parameter for kind in bundles.values() for parameter in _parameters_of(kind)]
    common = [_parameter(name, annotation, default) for name, (annotation, default) in _COMMON.items()]
    all_of_them = [_parameter("typer_context", typer.Context, Parameter.empty), *single, *bundled, *common]

    def call(typer_context: typer.Context, **words: Any) -> None:
        settings = _settings(typer_context.obj, **{name: words.pop(name) for name in _COMMON})
        with reported(debug=settings.debug):
            interrupts.install()
            logs.configure(debug=settings.debug)
            function(Session(settings, typer_context.args), **_bundled(words, bundles))

    call.__signature__ = inspect.Signature(all_of_them)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in all_of_them}
    call.__name__ = function.__name__
    return call


def _parameter(name: str, annotation: Any, default: Any) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _parameters_of(bundle: Any) -> list[Parameter]:
    hints = get_type_hints(bundle, include_extras=True)
    defaults = {field.name: Parameter.empty if field.default is MISSING else field.default for field in fields(bundle)}
    return [_parameter(name, hints[name], default) for name, default in defaults.items()]


def _bundled(words: dict[str, Any], bundles: Mapping[str, Any]) -> dict[str, Any]:
    """The function's own arguments: the words, of which some are gathered into their bundles."""
    gathered = {
        name: bundle(**{field.name: words.pop(field.name) for field in fields(bundle)}) for name, bundle in bundles.items()
    }
    return words | gathered


def _settings(
    before: Settings | None, *, backend_name: str | None, workspace_folder: Path | None, as_json: bool, debug: bool
) -> Settings:
    """What was said before the command, overlaid with what was said after it."""
    before = before or Settings()
    return Settings(
        backend=backend_name or before.backend,
        workspace=workspace_folder or before.workspace,
        as_json=as_json or before.as_json,
        debug=debug or before.debug,
    )
