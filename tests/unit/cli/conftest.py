"""Commands run in this process, in a folder of their own."""

from __future__ import annotations

import json
import logging
import signal
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bankmlops.cli.application import run
from support.memory_backend import MemoryBackend


@dataclass
class Done:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str
    errors: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.errors = self.err.splitlines()

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Done]


@pytest.fixture
def isolated() -> Iterator[None]:
    """A command sets signal handlers, log handlers and warning filters for its process; a test takes them back."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    root = logging.getLogger()
    before = (root.handlers, root.level)
    with warnings.catch_warnings():
        yield
    root.handlers, root.level = before
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def command(isolated: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")

    def call(*words: object) -> Done:
        code = run([str(word) for word in words])
        return Done(code, *capfd.readouterr())

    return call


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> MemoryBackend:
    """The backend that every command of the test gets."""
    memory = MemoryBackend()
    monkeypatch.setattr("bankmlops.connect.connect", lambda _name, _workspace: memory)
    monkeypatch.setattr("bankmlops.runs.time.sleep", lambda _seconds: None)
    return memory
