"""A receiver of telemetry on loopback: an HTTP server that keeps what it is sent, and answers as it is told to."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Received(NamedTuple):
    """A POST: its path, its headers by their names in lower case, and its body, uncompressed."""

    path: str
    headers: dict[str, str]
    body: bytes


class Answer(NamedTuple):
    """What it answers."""

    status: int = 200
    body: bytes = b""
    retry_after: str = ""


_TAKEN = Answer()


@dataclass
class Receiver:
    """`answers` are given one after the other, and then `usual`."""

    port: int
    received: list[Received] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    usual: Answer = _TAKEN

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def spans(self) -> list[Span]:
        """All that came, as OTLP has them."""
        requests = [ExportTraceServiceRequest.FromString(each.body) for each in self.received]
        return [
            span
            for request in requests
            for spans in request.resource_spans
            for scope in spans.scope_spans
            for span in scope.spans
        ]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port, ended with the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            plain = gzip.decompress(content) if self.headers.get("Content-Encoding") == "gzip" else content
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.received.append(Received(self.path, headers, plain))
            answer = receiver.answers.pop(0) if receiver.answers else receiver.usual
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(answer.body)))
            if answer.retry_after:
                self.send_header("Retry-After", answer.retry_after)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing is printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join(10)
