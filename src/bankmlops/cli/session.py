"""What a command is given besides its own words: the backend that was asked for, and where results and progress go."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bankmlops.cli.output import emit_json, emit_rich
from bankmlops.cli.text import one_line

if TYPE_CHECKING:
    from bankmlops.backend import Backend


@dataclass(frozen=True, slots=True)
class Settings:
    """The options that every command has."""

    backend: str = "local"
    workspace: Path = Path(".bankmlops")
    as_json: bool = False
    debug: bool = False


class Session:
    """One command at work."""

    def __init__(self, settings: Settings, words: Sequence[str] = ()) -> None:
        """`words` are those that a command hands on to another."""
        self.settings = settings
        self.words = tuple(words)

    @cached_property
    def backend(self) -> Backend:
        """The backend, connected and authenticated when a command first needs it."""
        from bankmlops.connect import connect

        backend = connect(self.settings.backend, self.settings.workspace)
        backend.authenticate()
        return backend

    def show(self, value: Any, draw: Callable[[Any], Any]) -> None:
        """The result: as JSON where that was asked for, otherwise as `draw` draws it with rich."""
        if self.settings.as_json:
            emit_json(value)
        else:
            emit_rich(draw(value))

    def note(self, line: str) -> None:
        """A line for the person, which is no result."""
        sys.stderr.write(f"{one_line(line)}\n")
        sys.stderr.flush()

    def hint(self, lines: Iterable[str]) -> None:
        """Lines that lead on from a result, for a person alone: where JSON was asked for they are not even made."""
        if not self.settings.as_json:
            for line in lines:
                self.note(line)

    @contextmanager
    def busy(self, line: str) -> Iterator[None]:
        """Show on a terminal that something takes its time."""
        if not sys.stderr.isatty():
            yield
            return
        from rich.console import Console

        with Console(stderr=True).status(one_line(line)):
            yield
