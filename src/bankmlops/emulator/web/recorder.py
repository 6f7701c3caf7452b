"""Writes what a client asked and got, one JSON line an exchange, so that somebody can report what the emulator lacks."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bankmlops.emulator.files import disk_error
from bankmlops.emulator.web.redaction import REDACTED, redacted_body, redacted_headers, redacted_path, redacted_query

MAX_BODY_BYTES = 256 << 10
MAX_FILE_BYTES = 256 << 20
_CUT = {"cut": f"the record is full: it has {MAX_FILE_BYTES} bytes"}


class Record:
    """The file, its owner's alone; `secrets` are hidden wherever they stand."""

    def __init__(self, path: Path, secrets: Iterable[str] = ()) -> None:
        """Begin a new file. Raises `BackendUnavailableError` where the disk refuses."""
        self._secrets = [each for each in secrets if each]
        self._size = 0
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise disk_error(error, path) from error

    def write(self, entry: dict[str, Any]) -> None:
        """Add a line; a full file takes one more that says so."""
        if self._size >= MAX_FILE_BYTES:
            return
        line = json.dumps(entry, ensure_ascii=False)
        for secret in self._secrets:
            line = line.replace(secret, REDACTED)
        content = line.encode("utf-8", "replace") + b"\n"
        self._size += os.write(self._file, content)
        if self._size >= MAX_FILE_BYTES:
            os.write(self._file, json.dumps(_CUT).encode() + b"\n")

    def tunnel(self, host: str, emulated: bool) -> None:
        """A host that the client has asked for through the proxy; what it said to one that is not emulated nobody can see."""
        self.write({"time": _now(), "host": host, "emulated": emulated})

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


@dataclass
class _Body:
    content: bytearray = field(default_factory=bytearray)
    size: int = 0

    def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self.content += chunk[: MAX_BODY_BYTES - len(self.content)]

    def shown(self, content_type: str, path: str) -> Any:
        if self.size > MAX_BODY_BYTES:
            return f"({self.size} bytes of {content_type or 'no type'})"
        return redacted_body(bytes(self.content), content_type, path)


class Recorder:
    """ASGI: passes everything on, and writes it down, but for the emulator's own control routes."""

    def __init__(self, app: ASGIApp, record: Record) -> None:
        self._app = app
        self._record = record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/emulator/"):
            await self._app(scope, receive, send)
            return
        asked, got, start = _Body(), _Body(), {"status": 0, "headers": []}

        async def listen() -> Message:
            message = await receive()
            asked.add(message.get("body", b""))
            return message

        async def say(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(status=message["status"], headers=list(message.get("headers", [])))
            got.add(message.get("body", b""))
            await send(message)

        begun = time.monotonic()
        try:
            await self._app(scope, listen, say)
        finally:
            self._record.write(_entry(scope, asked, got, start, time.monotonic() - begun))


def _entry(scope: Scope, asked: _Body, got: _Body, start: dict[str, Any], seconds: float) -> dict[str, Any]:
    request, response = redacted_headers(scope["headers"]), redacted_headers(start["headers"])
    path = redacted_path(scope["path"])
    return {
        "time": _now(),
        "seconds": round(seconds, 4),
        "method": scope["method"],
        "host": request.get("host", ""),
        "path": path,
        "query": redacted_query(scope["query_string"].decode("latin-1")),
        "status": start["status"],
        "known": start["status"] != 501,
        "request": {"headers": request, "body": asked.shown(request.get("content-type", ""), path)},
        "response": {"headers": response, "body": got.shown(response.get("content-type", ""), path)},
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
