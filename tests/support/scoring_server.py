"""A real scoring process on a free port, and raw sockets to talk to it as no well-behaved client would."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from support.bundles import PRIMARY, write_bundle, write_service

START_SECONDS = 60.0
_CLIENT = httpx.Client(trust_env=False, timeout=30, limits=httpx.Limits(max_keepalive_connections=0))


@dataclass
class ScoringProcess:
    """`python -m bankmlops.scoring` on `folder`; a context manager that ends it."""

    folder: Path
    process: subprocess.Popen[str]

    @classmethod
    def start(cls, folder: Path, **settings: object) -> ScoringProcess:
        """Serve the tests' bundle, with `settings` in service.json, and wait until it is ready."""
        write_bundle(folder / "model")
        write_service(folder, **settings)
        return cls.serve(folder)

    @classmethod
    def serve(cls, folder: Path) -> ScoringProcess:
        """Serve what is in the folder, and wait until it is ready."""
        started = cls(folder, launch(folder))
        started._wait_until_ready()
        return started

    def __enter__(self) -> ScoringProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait(30)

    @property
    def port(self) -> int:
        return int(json.loads((self.folder / "ready.json").read_text())["port"])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def score(self, content: Any, key: str | None = PRIMARY, **headers: str) -> httpx.Response:
        """`POST /score` of a document, or of bytes as they are."""
        return self.post("/score", content, key, **headers)

    def post(self, path: str, content: Any, key: str | None = PRIMARY, **headers: str) -> httpx.Response:
        """A document, or bytes as they are, to a path."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        given = {"Authorization": f"Bearer {key}"} if key is not None else {}
        return _CLIENT.post(f"{self.url}{path}", content=body, headers={**given, **headers})

    def options(self, path: str, **headers: str) -> httpx.Response:
        """`OPTIONS`, as a browser asks before it sends."""
        return _CLIENT.options(f"{self.url}{path}", headers=headers)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return _CLIENT.get(f"{self.url}{path}", **options)

    def connect(self, timeout: float = 20.0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not (self.folder / "ready.json").exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise AssertionError(f"the scoring process did not start: {self.log}")
            time.sleep(0.01)


def launch(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """The process, started; its log goes to the file `log` of its folder."""
    with (folder / "log").open("a") as log:
        command = [sys.executable, "-m", "bankmlops.scoring", "--service-dir", str(folder), *arguments]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, text=True)


def request(body: bytes, headers: Mapping[str, str] | None = None, path: str = "/score", key: str = PRIMARY) -> bytes:
    """The bytes of a POST; its length is declared where the headers don't say otherwise."""
    given = {"Host": "test", "Authorization": f"Bearer {key}", **(headers or {})}
    if not {"Content-Length", "Transfer-Encoding"} & given.keys():
        given["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def read_to_end(connection: socket.socket) -> bytes:
    """All that comes until the other side closes or resets."""
    received = b""
    try:
        while block := connection.recv(65536):
            received += block
    except ConnectionResetError:
        pass
    return received


def read_answers(connection: socket.socket, count: int) -> list[tuple[int, bytes]]:
    """Status and body of the next answers on a connection."""
    stream = connection.makefile("rb")
    return [_read_answer(stream) for _ in range(count)]


def _read_answer(stream: Any) -> tuple[int, bytes]:
    status = int(stream.readline().split()[1])
    length = 0
    while line := stream.readline().strip():
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    return status, stream.read(length)
