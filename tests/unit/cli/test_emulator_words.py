"""`bankmlops emulator` hands its words on as they are."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Annotated, Any

import pytest
import typer

from bankmlops.errors import ConflictError

Command = Callable[..., Any]


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the emulator's own command `run` was given; it ends with the code 7, or in an error for the word `fail`."""
    given: list[list[str]] = []
    app = typer.Typer()

    @app.command("run")
    def run(arguments: Annotated[list[str], typer.Argument()]) -> None:
        given.append(arguments)
        if arguments == ["fail"]:
            raise ConflictError("an emulator runs already")
        raise typer.Exit(7)

    @app.command("stop")
    def stop() -> None:
        given.append([])

    module = ModuleType("bankmlops.emulator.commands")
    module.app = app  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return given


def test_words_are_handed_on(command: Command, words: list[list[str]]) -> None:
    """What stands after `--` reaches the command, options and all, and its exit code is ours."""
    assert command("emulator", "run", "--", "python", "-m", "bankmlops", "--backend", "azure", "--json").code == 7
    assert words == [["python", "-m", "bankmlops", "--backend", "azure", "--json"]]
    assert command("emulator", "stop").code == 0


def test_help_is_the_emulators(command: Command, words: list[list[str]]) -> None:
    """Its help is the emulator's own, also where no word follows."""
    assert "stop" in command("emulator", "--help").out
    assert "stop" in command("emulator").out


def test_errors_are_ours(command: Command, words: list[list[str]]) -> None:
    """An error of the emulator is one line and a code, and so are words that it does not understand."""
    done = command("emulator", "run", "fail")
    assert (done.code, done.errors) == (4, ["error: an emulator runs already"])
    done = command("emulator", "walk")
    assert (done.code, len(done.errors)) == (2, 1)
    assert "walk" in done.err
