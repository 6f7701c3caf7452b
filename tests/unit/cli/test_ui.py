"""`bankmlops ui`: an address that signs in once, opened by way of a private file or printed."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bankmlops.cli import ui
from support.http_server import Answer, Asked, LocalServer, serving
from support.memory_backend import MemoryBackend

Command = Callable[..., Any]


@pytest.fixture
def server(backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    def answer(asked: Asked) -> Answer:
        return Answer({"Code": "once-and-soon", "ExpiresInSeconds": 60} if asked.path == "/session/codes" else {})

    with serving(answer) as server:
        monkeypatch.setattr(backend, "up", lambda: server.url)
        yield server


def test_the_address_is_printed(command: Command, server: LocalServer) -> None:
    """Without a terminal and a screen the address is printed, with a code that the workspace's token was given for."""
    assert command("ui", "--json").document == {"url": f"{server.url}/ui#code=once-and-soon", "opened": False}
    (asked,) = server.asked
    assert asked.method == "POST"
    assert asked.headers["authorization"].startswith("Bearer ")


def test_it_is_opened(command: Command, server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser is given a private file that leads to the address, and never the code itself, which all could read there."""
    opened: list[str] = []
    monkeypatch.setattr(ui, "_has_browser", lambda: True)
    monkeypatch.setattr(ui.webbrowser, "open", lambda url: bool(opened.append(url)) or True)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    for _ in range(2):  # what an earlier call left is replaced
        assert command("ui", "--workspace", workspace, "--json").document["opened"]
    assert opened[0] == (workspace / "ui.html").as_uri()
    assert "once-and-soon" in (workspace / "ui.html").read_text()
    assert stat.S_IMODE((workspace / "ui.html").stat().st_mode) == 0o600


def test_without_a_code(command: Command, server: LocalServer) -> None:
    """A server that answers no code is named in one line."""
    server.answer = lambda _asked: Answer({})
    done = command("ui")
    assert done.code != 0
    assert "answered no code" in done.errors[-1]


def test_azure_has_its_own(command: Command) -> None:
    """Azure ML's page is not ours."""
    done = command("ui", "--backend", "azure")
    assert done.code == 2
    assert "https://ml.azure.com" in done.errors[-1]
