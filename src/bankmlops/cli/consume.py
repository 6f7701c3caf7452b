"""`bankmlops score` and `bankmlops benchmark`: call an endpoint, once and often."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import typer

from bankmlops.cli.command import command
from bankmlops.cli.drawing import draw_benchmark, draw_lines
from bankmlops.cli.endpoints import Name
from bankmlops.cli.references import reachable_endpoint
from bankmlops.cli.rows import as_described, parts, read_rows
from bankmlops.cli.session import Session
from bankmlops.errors import InvalidRequestError
from bankmlops.types import Endpoint, KeyName

Rows = Annotated[str, typer.Argument(metavar="FILE", help="Rows as CSV with a header, or as JSON; - reads standard input.")]

application = typer.Typer()


@command(
    application,
    "score",
    "head -3 bank.csv | bankmlops score bank-endpoint -",
    "bankmlops score bank-endpoint rows.json --json",
)
def score(session: Session, name: Name, file: Rows) -> None:
    """Print the label that an endpoint gives to each row; columns that it doesn't know are left out, such as the label's."""
    endpoint = reachable_endpoint(session.backend, name)
    key = _key(session, endpoint)
    rows = _rows(endpoint, file)
    with session.busy(f"scoring {len(rows):,} rows"):
        result = list(_labels(endpoint, key, rows))
    session.show({"result": result}, lambda answer: draw_lines(answer["result"]))


@command(
    application,
    "benchmark",
    "bankmlops benchmark bank-endpoint --requests 2000 --concurrency 8",
    "bankmlops benchmark bank-endpoint --data rows.csv --json",
)
def benchmark(
    session: Session,
    name: Name,
    requests: Annotated[int, typer.Option("--requests", help="How many requests.")] = 500,
    concurrency: Annotated[int, typer.Option("--concurrency", help="How many at a time.")] = 8,
    data: Annotated[
        str | None, typer.Option("--data", metavar="FILE", help="The rows of each request: the swagger's example, if left out.")
    ] = None,
) -> None:
    """Load an endpoint, with ApacheBench where it is installed; the secondary key is used, and replaced in the end.

    A program's arguments can be read by everybody on a machine, and ab takes the key as one.
    """
    from bankmlops.benchmark import run_benchmark

    endpoint = reachable_endpoint(session.backend, name)
    rows = _rows(endpoint, data) if data else _example(endpoint)
    key = session.backend.get_keys(name).secondary if endpoint.auth_enabled else None
    try:
        with session.busy(f"sending {requests:,} requests to {name}"):
            result = run_benchmark(endpoint.scoring_uri, key, rows, requests=requests, concurrency=concurrency)
    finally:
        if key is not None:
            session.backend.regenerate_key(name, KeyName.SECONDARY)
    session.show(result, draw_benchmark)


def _labels(endpoint: Endpoint, key: str | None, rows: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """A label for each row; more rows than an endpoint takes in a request go in several."""
    from bankmlops import client

    first = 0
    for part in parts(rows):
        try:
            yield from client.score(endpoint.scoring_uri, key, part)
        except InvalidRequestError as error:
            if not first:
                raise
            raise InvalidRequestError(f"in the rows from {first:,} on: {error}") from error
        first += len(part)


def _key(session: Session, endpoint: Endpoint) -> str | None:
    return session.backend.get_keys(endpoint.name).primary if endpoint.auth_enabled else None


def _rows(endpoint: Endpoint, file: str) -> Sequence[Mapping[str, object]]:
    from bankmlops import client

    return as_described(read_rows(file), client.input_columns(client.swagger(endpoint.swagger_uri)))


def _example(endpoint: Endpoint) -> Sequence[Mapping[str, object]]:
    from bankmlops import client

    return client.example_rows(client.swagger(endpoint.swagger_uri))
