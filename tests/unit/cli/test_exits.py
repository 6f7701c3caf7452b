"""How commands end: the code and the one line of each error."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bankmlops import errors
from bankmlops.cli.exits import DRIFTED, EXIT_CODES, exit_code
from support.memory_backend import MemoryBackend

Command = Callable[..., Any]
README = Path(__file__).parents[3] / "README.md"


def test_every_error_has_a_code() -> None:
    """Each of our errors has a code of its own accord, and the README's table lists every one of them."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and kind is not errors.BankMLOpsError]
    assert set(EXIT_CODES) == set(kinds)
    documented = set(map(int, re.findall(r"^\| (\d+) \|", README.read_text(encoding="utf-8"), re.MULTILINE)))
    assert {0, 1, DRIFTED, 129, 130, 143, *EXIT_CODES.values()} == documented


def test_a_kind_of_an_error_has_its_code() -> None:
    """A more special error has the code of what it is."""

    class SpecialError(errors.ConflictError):
        pass

    assert exit_code(SpecialError("taken")) == 4
    assert exit_code(errors.BankMLOpsError("something")) == 1


@pytest.mark.parametrize(("kind", "code"), list(EXIT_CODES.items()), ids=lambda value: getattr(value, "__name__", value))
def test_errors_are_one_line(command: Command, backend: MemoryBackend, kind: type[Exception], code: int) -> None:
    """An error is its code and one line on stderr, whatever is in it, and nothing on stdout."""
    backend.changes = [kind("of two\nlines \x1b[31mand colour")]
    done = command("automl", "show", "AutoML_1")
    assert (done.code, done.out) == (code, "")
    assert done.errors == ["error: of two lines \N{REPLACEMENT CHARACTER}[31mand colour"]


def test_an_error_of_ours(command: Command, backend: MemoryBackend) -> None:
    """What nobody foresaw is one line and code 1, and --debug shows where it was."""
    backend.changes = [TypeError("an int is no text")]
    done = command("automl", "show", "AutoML_1")
    assert done.code == 1
    assert done.errors == ["error: internal error: TypeError: an int is no text; --debug shows where"]
    backend.changes = [TypeError("an int is no text")]
    done = command("automl", "show", "AutoML_1", "--debug")
    assert done.code == 1
    assert "Traceback" in done.err
    assert "memory_backend.py" in done.err


def test_a_package_that_is_not_installed(command: Command, backend: MemoryBackend) -> None:
    """A missing package is no error of ours: the line says how to install it."""
    backend.changes = [ModuleNotFoundError("No module named 'starlette'", name="starlette")]
    done = command("automl", "show", "AutoML_1")
    assert done.code == 2
    assert "starlette" in done.err
    assert "pip install" in done.err
    backend.changes = [ModuleNotFoundError("No module named 'bankmlops.lost'", name="bankmlops.lost")]
    assert command("automl", "show", "AutoML_1").code == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("statsu",), "Did you mean 'status'"),
        (("data", "regster"), "Did you mean 'register'"),
        (("automl", "run", "--dataset", "bank", "--minuts", "1"), "--minuts"),
        (("automl", "run", "--dataset", "bank", "--minutes", "0"), "give more than 0"),
        (("automl", "run", "--dataset", "bank", "--minutes", "nan"), "give more than 0"),
        (("automl", "run", "--dataset", "bank", "--minutes", "much"), "--minutes"),
        (("automl", "run"), "--dataset NAME, or --data FILE"),
        (("e2e", "--pipeline-minutes", "-1"), "give more than 0"),
        (("e2e", "--requests", "0"), "--requests"),
        (("models", "register", "latest"), "--name"),
        (("--backend", "mars", "status"), "local, azure"),
        (("endpoints", "regenerate-key", "bank", "third"), "third"),
    ],
)
def test_words_that_no_command_understands(command: Command, words: tuple[str, ...], said: str) -> None:
    """A mistake in the words is code 2 and one line that says what would serve, and nothing is made."""
    done = command(*words)
    assert (done.code, done.out) == (2, "")
    assert len(done.errors) == 1, done.err
    assert said in done.err
    assert list(Path().iterdir()) == []
