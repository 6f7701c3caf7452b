"""Draws values for a person: a table of many, or the fields of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from bankmlops.cli.text import printable

_STYLES = {
    "Completed": "green",
    "Healthy": "green",
    "Active": "green",
    "Running": "cyan",
    "Transitioning": "cyan",
    "Failed": "bold red",
    "Unhealthy": "bold red",
    "Canceled": "yellow",
    "Disabled": "yellow",
}

Column = tuple[str, Callable[[Any], object]]


def table(values: Iterable[Any], columns: Sequence[Column]) -> Table:
    """One line a value; numbers stand at the right."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    rows = [[read(value) for _, read in columns] for value in values]
    for index, (title, _) in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        drawn.add_column(title, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*map(cell, row))
    return drawn


def details(value: Any, *, leave_out: Sequence[str] = ()) -> Table:
    """The fields of a value, one a line; those that say nothing are left out."""
    named = {field.name: getattr(value, field.name) for field in fields(value) if field.name not in leave_out}
    return pairs({name.replace("_", " "): inner for name, inner in named.items() if inner not in (None, "", (), {}, 0.0)})


def pairs(named: Mapping[str, object]) -> Table:
    """Names and what they stand for, one a line; a mapping's own pairs follow on lines of their own."""
    drawn = Table(box=None, pad_edge=False, show_header=False)
    drawn.add_column(style="bold", no_wrap=True)
    drawn.add_column(overflow="fold")
    for name, value in named.items():
        if isinstance(value, Mapping):
            drawn.add_row(name, "" if value else "-")
            for inner, each in sorted(value.items()):
                drawn.add_row(f"  {inner}", cell(each), style="not bold")
        else:
            drawn.add_row(name, cell(value))
    return drawn


def cell(value: object) -> Text:
    """One value as text without markup, in the colour of a state."""
    text = printable(_text(value))
    return Text(text, style=_STYLES.get(text, ""))


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return f"{value.astimezone():%Y-%m-%d %H:%M:%S}"
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
