"""`bankmlops score` and `bankmlops benchmark`: call an endpoint, once and often; or score files with a model alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bankmlops.cli.command import command
from bankmlops.cli.drawing import draw_benchmark, draw_lines
from bankmlops.cli.endpoints import Name
from bankmlops.cli.progress import counting
from bankmlops.cli.references import reachable_endpoint, registered_model
from bankmlops.cli.rows import NUMBERS, as_described, parts, read_rows
from bankmlops.cli.session import Session
from bankmlops.errors import InvalidRequestError
from bankmlops.types import Endpoint, KeyName

NameOrNone = Annotated[str | None, typer.Argument(metavar="NAME", help="The endpoint's name.", show_default=False)]
Rows = Annotated[
    str | None,
    typer.Argument(metavar="FILE", help="Rows as CSV with a header, or as JSON; - reads standard input.", show_default=False),
]
_PANEL = "Whole files, with a registered model and no endpoint"

application = typer.Typer()


@dataclass(frozen=True, slots=True)
class Files:
    """What is scored without an endpoint."""

    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME[:V]", help="A registered model.", rich_help_panel=_PANEL)
    ] = None
    source: Annotated[
        Path | None,
        typer.Option("--input", metavar="FILE|DIR", help="A CSV or Parquet file, or a folder of them.", rich_help_panel=_PANEL),
    ] = None
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="OUT.parquet", help="The answers, in the input's order.", rich_help_panel=_PANEL),
    ] = None
    proba: Annotated[bool, typer.Option("--proba", help="Each class's probability as well.", rich_help_panel=_PANEL)] = False

    @property
    def given(self) -> bool:
        """Whether any of them was."""
        return self != Files()


@command(
    application,
    "score",
    "head -3 bank.csv | bankmlops score bank-endpoint -",
    "bankmlops score bank-endpoint rows.json --json",
    "bankmlops score --model bank:2 --input rows.parquet --output scored.parquet --proba",
)
def score(session: Session, files: Files, name: NameOrNone = None, file: Rows = None) -> None:
    """Print the label that an endpoint gives to each row, or score whole files with a registered model.

    Columns that the model doesn't know are left out, such as the label's. Whole files are streamed, on every core; a run that was
    ended goes on when it is started again, and rows that can't be scored go to OUT.parquet.rejected.jsonl with the reason.
    """
    if files.given:
        _score_files(session, files, name)
    elif name is None or file is None:
        raise InvalidRequestError("an endpoint and its rows (NAME FILE), or --model, --input and --output, would serve")
    else:
        _score_rows(session, name, file)


def _score_rows(session: Session, name: str, file: str) -> None:
    endpoint = reachable_endpoint(session.backend, name)
    key = _key(session, endpoint)
    rows = _rows(endpoint, file)
    with session.busy(f"scoring {len(rows):,} rows"):
        result = list(_labels(endpoint, key, rows))
    session.show({"result": result}, lambda answer: draw_lines(answer["result"]))


def _score_files(session: Session, files: Files, name: str | None) -> None:
    if files.model is None or files.source is None or files.output is None or name is not None:
        raise InvalidRequestError("whole files are scored with --model, --input and --output, all three, and no endpoint")
    from bankmlops.batch import fetch_bundle, score_files
    from bankmlops.cli.tables import details

    model = registered_model(session.backend, files.model)
    bundle = fetch_bundle(session.backend, model)
    with counting(f"scoring with {model.name}:{model.version}", "rows") as count:
        result = score_files(
            bundle,
            files.source,
            files.output,
            proba=files.proba,
            on_progress=lambda rows, fraction: count(rows, round(rows / fraction) if fraction else 0),
        )
    session.show(result, details)


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

    types = client.input_columns(client.swagger(endpoint.swagger_uri))
    return as_described(read_rows(file, [name for name, kind in types.items() if kind in NUMBERS]), types)


def _example(endpoint: Endpoint) -> Sequence[Mapping[str, object]]:
    from bankmlops import client

    return client.example_rows(client.swagger(endpoint.swagger_uri))
