"""Results go to stdout, whole and at once; a reader that has gone away (`| head`) is no error."""

from __future__ import annotations

import io
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

import typer

_PIPE_WIDTH = 400


def emit(text: str) -> None:
    """Write a line, or several, to stdout. Ends the command quietly where nobody reads any more."""
    try:
        sys.stdout.write(text if text.endswith("\n") or not text else f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains when it flushes at its end
        raise typer.Exit(0) from None


def emit_json(value: object) -> None:
    """Write a value as one JSON document."""
    emit(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def emit_rich(renderable: Any) -> None:
    """Write what rich draws: in colour and within the width on a terminal, plain and unbroken elsewhere."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    drawn = io.StringIO()
    width = None if terminal else _PIPE_WIDTH
    console = Console(file=drawn, force_terminal=terminal, width=width, soft_wrap=False, highlight=False)
    console.print(renderable)
    lines = drawn.getvalue().splitlines()
    emit("\n".join(line if terminal else line.rstrip() for line in lines))


def plain(value: Any) -> Any:
    """A value as JSON knows it: a dataclass is an object, a time its ISO text, a number that JSON lacks is null."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, Sequence | Set) and not isinstance(value, str):
        return [plain(inner) for inner in value]
    return _plain_scalar(value)


def _plain_scalar(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
