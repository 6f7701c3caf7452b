"""`bankmlops tokens`: who may call the control server, besides the person whose workspace it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bankmlops.cli.command import command, group
from bankmlops.cli.drawing import draw_table
from bankmlops.cli.session import Session
from bankmlops.connect import control_desk
from bankmlops.types import AccessToken, NewAccessToken, TokenScope

if TYPE_CHECKING:
    from bankmlops.cli.tables import Column

application = group("tokens", "Give others a token for the control server, and take it back.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The token's name: who has it, or what uses it.")]


@command(
    application,
    "create",
    "bankmlops tokens create ci",
    "bankmlops tokens create dashboard --scope read --expires 30",
)
def create(
    session: Session,
    name: Name,
    scope: Annotated[
        TokenScope, typer.Option("--scope", help="What it opens: reading; that and triggers; true labels alone; or everything.")
    ] = TokenScope.TRIGGER,
    expires: Annotated[float | None, typer.Option("--expires", metavar="DAYS", help="After how many days it ends.")] = None,
) -> None:
    """Make a token and print its secret, this once: only its hash is kept."""
    session.show(control_desk(*_place(session)).create_token(name, scope, expires), _draw_new)


@command(application, "list", "bankmlops tokens list")
def list_tokens(session: Session) -> None:
    """List the tokens, newest first, with their last use; the secrets are nowhere."""
    session.show(control_desk(*_place(session)).list_tokens(), _draw_all)


@command(application, "revoke", "bankmlops tokens revoke ci")
def revoke(session: Session, name: Name) -> None:
    """End a token: it opens nothing any more, also on a server that runs."""
    session.show(control_desk(*_place(session)).revoke_token(name), _draw)


def _place(session: Session) -> tuple[str, Path]:
    return session.settings.backend, session.settings.workspace


def _draw_new(made: NewAccessToken) -> Any:
    from bankmlops.cli.tables import pairs

    token = made.token
    named = {"name": token.name, "scope": token.scope, "expires": token.expires or "never", "secret": made.secret}
    return pairs({**named, "": "the secret is shown this once; send it as `Authorization: Bearer SECRET`"})


def _draw(token: AccessToken) -> Any:
    from bankmlops.cli.tables import details

    return details(token)


def _draw_all(tokens: Sequence[AccessToken]) -> Any:
    columns: Sequence[Column] = (
        ("name", lambda each: each.name),
        ("scope", lambda each: each.scope),
        ("created", lambda each: each.created),
        ("expires", lambda each: each.expires or "never"),
        ("last used", lambda each: each.last_used or "never"),
        ("revoked", lambda each: each.revoked),
    )
    return draw_table(tokens, columns, "tokens")
