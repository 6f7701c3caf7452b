"""`bankmlops ui`: open the page on which a workspace's pipelines, runs, models and endpoints are watched."""

from __future__ import annotations

import os
import sys
import webbrowser
from html import escape
from pathlib import Path
from typing import Annotated

import typer

from bankmlops.cli.command import command
from bankmlops.cli.session import Session
from bankmlops.errors import InvalidRequestError

application = typer.Typer()

Browser = Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser where there is one.")]
_REDIRECT = '<!doctype html><meta charset="utf-8"><title>bankmlops</title><meta http-equiv="refresh" content="0;url={}">\n'


@command(application, "ui", "bankmlops ui", "bankmlops ui --no-browser")
def ui(session: Session, browser: Browser = True) -> None:
    """Open the page that shows the workspace: runs as they go on, pipelines, leaderboards, endpoints and schedules.

    Its address holds a code that signs in once, within a minute. Where no browser can be opened, the address is printed alone.
    """
    if session.settings.backend != "local":
        raise InvalidRequestError("the page shows a local workspace; Azure ML has its own at https://ml.azure.com")
    from bankmlops.client import page_address

    with session.busy("starting what serves the page"):
        url = session.backend.up()
    address = page_address(url, session.backend.authorization_header())
    opened = browser and _has_browser() and _open(address, session.settings.workspace)
    session.show({"url": address, "opened": opened}, lambda shown: f"{'opened' if opened else 'open'} {shown['url']}")


def _has_browser() -> bool:
    """Whether a person sits at a screen: a browser that runs in the terminal would show nothing of the page."""
    return sys.stdout.isatty() and (
        sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    )


def _open(address: str, workspace: Path) -> bool:
    """Open it by way of a private file: everybody can read a browser's arguments, and the code is not for everybody."""
    path = workspace.absolute() / "ui.html"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(_REDIRECT.format(escape(address)))
    return webbrowser.open(path.as_uri())
