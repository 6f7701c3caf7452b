"""What Azure lets the things of a workspace be called; told before anything is uploaded or made."""

from __future__ import annotations

import re

from bankmlops.errors import InvalidRequestError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_ENDPOINT_NAME = re.compile(r"[a-z][a-z0-9-]{1,30}[a-z0-9]")
_TEXT = re.compile(r"[^\x00-\x1f\x7f/\\]{1,255}")


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


def check_text(kind: str, text: str) -> None:
    """Raise `InvalidRequestError` where a pipeline's name or version can't be `text`."""
    if _TEXT.fullmatch(text) is None or text != text.strip():
        raise InvalidRequestError(f"{kind} {text!r} can't serve; give 1 to 255 characters without a slash or a line break")
