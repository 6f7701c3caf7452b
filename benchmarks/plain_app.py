"""The yardsticks of the scoring service, each on the same uvicorn: `scored` does the same work with the same model and no safety,
`fixed` reads the request and answers what it always answers.

    python benchmarks/plain_app.py scored|fixed BUNDLE DESCRIPTOR     (the number of an inherited, bound socket)
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Score = Callable[[bytes], bytes]
Label = Callable[[Any], list[str]]
_FIXED = b'"{\\"result\\":[\\"no\\",\\"no\\"]}"'


def labeller(bundle_folder: Path) -> Label:
    """Matrix, graph, labels."""
    from bankmlops.features import matrix_from_rows  # here, so that `fixed` starts and weighs what a server alone does
    from bankmlops.scoring.bundle import load_bundle, open_session

    bundle = load_bundle(bundle_folder)
    session = open_session(bundle)

    def label(rows: Any) -> list[str]:
        probabilities = session.run(["probabilities"], {"features": matrix_from_rows(bundle.specification, rows)})[0]
        if len(bundle.classes) == 2:
            return [bundle.classes[positive] for positive in (probabilities[:, 1] >= bundle.threshold).tolist()]
        return [bundle.classes[index] for index in probabilities.argmax(axis=1).tolist()]

    return label


def scored(bundle_folder: Path) -> Score:
    """JSON, matrix, graph, labels, JSON in JSON."""
    import pydantic_core

    label = labeller(bundle_folder)

    def score(body: bytes) -> bytes:
        result = {"result": label(pydantic_core.from_json(body)["data"])}
        return pydantic_core.to_json(pydantic_core.to_json(result).decode())

    return score


def fixed(_: Path) -> Score:
    """The limit: what the server, the loopback and the client leave to be had."""
    return lambda _: _FIXED


def app(score: Score) -> Callable[[Message, Receive, Send], Awaitable[None]]:
    """Every request is a POST of rows, and is believed."""

    async def answer(_: Message, receive: Receive, send: Send) -> None:
        message = await receive()
        body = message["body"]
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
        content = score(body)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return answer


def main() -> None:
    """Serve until SIGTERM."""
    kind, bundle_folder, descriptor = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    score = {"scored": scored, "fixed": fixed}[kind](bundle_folder)
    config = uvicorn.Config(
        app(score),  # type: ignore[arg-type]
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        backlog=2048,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    main()
