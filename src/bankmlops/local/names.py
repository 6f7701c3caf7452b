"""What the things of a workspace may be called: Azure's rules, so that a name that serves here serves there."""

from __future__ import annotations

import re

from bankmlops.errors import InvalidRequestError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_ENDPOINT_NAME = re.compile(r"[a-z][a-z0-9-]{1,30}[a-z0-9]")


def check_name(kind: str, name: str) -> None:
    """Raise `InvalidRequestError` where a dataset, model or experiment can't be called `name`; `kind` begins the message."""
    if not _NAME.fullmatch(name):
        raise InvalidRequestError(
            f"{kind} {name!r} can't serve; use 1 to 255 letters, digits, dashes, underscores and dots, a letter or digit first"
        )


def check_endpoint_name(name: str) -> None:
    """Raise `InvalidRequestError` where Azure would not take `name` for a web service."""
    if not _ENDPOINT_NAME.fullmatch(name):
        raise InvalidRequestError(
            f"endpoint name {name!r} can't serve; use 3 to 32 lower-case letters, digits and dashes, a letter first, no dash last"
        )
