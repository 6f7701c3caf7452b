"""Every command explains itself."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer.core import TyperGroup

from bankmlops.cli.application import PARTS, _load

Command = Callable[..., Any]


def _all_words() -> Iterator[tuple[str, ...]]:
    for name in PARTS:
        loaded = _load(name)
        if isinstance(loaded, TyperGroup):
            yield from ((name, inner) for inner in loaded.commands)
        elif name != "emulator":  # its words are its own
            yield (name,)


@pytest.mark.parametrize("words", list(_all_words()), ids=" ".join)
def test_help_has_an_example(command: Command, words: tuple[str, ...]) -> None:
    """The help of each command says what it does and ends with an example that calls that very command."""
    done = command(*words, "--help")
    assert done.code == 0
    assert "Options of every command" in done.out
    assert "--json" in done.out
    assert f"bankmlops {' '.join(words)}" in done.out.partition("Examples")[2].replace("--backend azure ", "")


def test_help_lists_all(command: Command) -> None:
    """The help of the whole lists every command; without any word it is the same help."""
    done = command("--help")
    assert all(f" {name} " in done.out for name in PARTS)
    assert command().out == done.out


@pytest.mark.parametrize("group", [name for name in PARTS if isinstance(_load(name), TyperGroup)])
def test_a_group_alone_shows_its_help(command: Command, group: str) -> None:
    """A group without a command shows what it has."""
    done = command(group)
    assert done.code == 0
    assert "Usage: bankmlops" in done.out
    assert f"bankmlops {group}" in done.out


def test_version(command: Command) -> None:
    """The version is one line."""
    done = command("--version")
    assert (done.code, done.out.split()[0], done.out.count("\n")) == (0, "bankmlops", 1)


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--help", "--version"])
def test_light_commands_are_light(option: str) -> None:
    """What needs no library imports none: neither httpx nor anything that trains, and little processor time is spent."""
    program = (
        "import sys, time\n"
        "from bankmlops.cli.application import run\n"
        f"code = run([{option!r}])\n"
        "heavy = {'httpx', 'numpy', 'pandas', 'pyarrow', 'mlflow', 'starlette', 'azureml'} & set(sys.modules)\n"
        "print(code, sorted(heavy), time.process_time(), file=sys.stderr)\n"
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    code, heavy, seconds = done.stderr.replace("[]", "none").split()
    assert (code, heavy) == ("0", "none")
    assert float(seconds) < 1.0  # 0.3 on a quiet machine
    assert time.monotonic() - started < 60
