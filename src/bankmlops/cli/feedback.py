"""`bankmlops feedback`: what really happened after requests that an endpoint answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bankmlops.cli.command import command, group
from bankmlops.cli.exits import USAGE
from bankmlops.cli.session import Session
from bankmlops.types import LabelledRow, Outcome, OutcomeReceipt, RefusedOutcome

application = group("feedback", "Take in the true labels of requests, which arrive later.")

AT_ONCE = 10_000
_SHOWN = 20

EndpointName = Annotated[str, typer.Option("--endpoint", metavar="NAME", help="The endpoint that answered the requests.")]


@command(
    application,
    "import",
    "bankmlops feedback import outcomes.csv --endpoint bank-endpoint",
    "bankmlops feedback import outcomes.parquet --endpoint bank-endpoint --label subscribed --json",
)
def import_file(
    session: Session,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV or Parquet: request_id, the label, and row where it is not 0.")
    ],
    endpoint: EndpointName,
    label: Annotated[
        str | None, typer.Option("--label", metavar="COLUMN", help="The labels' column: y, or else the last.")
    ] = None,
) -> None:
    """Join labels to the requests that an endpoint collected; exits with 2 where some were refused, and stores the others."""
    from bankmlops.datasets.outcomes import read_written_outcomes

    outcomes = read_written_outcomes(file, label)
    receipt = _total(session.backend.record_outcomes(endpoint, part) for part in _parts(outcomes))
    session.show(receipt, _draw)
    for refusal in receipt.refusals:
        session.note(f"{file}, row {refusal.index + 1}: {refusal.reason}")
    if receipt.refused:
        raise typer.Exit(USAGE)


@command(application, "list", "bankmlops feedback list --endpoint bank-endpoint --json")
def list_labelled(
    session: Session,
    endpoint: EndpointName,
    after: Annotated[int, typer.Option("--after", min=0, help="Begin behind the label of this number.")] = 0,
) -> None:
    """List requests with their answers and true labels, in the order in which these arrived; at most 10,000."""
    session.show(session.backend.list_outcomes(endpoint, after), _draw_rows)


def _parts(outcomes: Sequence[Outcome]) -> Iterator[Sequence[Outcome]]:
    return (outcomes[start : start + AT_ONCE] for start in range(0, len(outcomes), AT_ONCE))


def _total(receipts: Iterator[OutcomeReceipt]) -> OutcomeReceipt:
    stored = repeated = refused = 0
    refusals: list[RefusedOutcome] = []
    for number, receipt in enumerate(receipts):
        stored, repeated, refused = stored + receipt.stored, repeated + receipt.repeated, refused + receipt.refused
        refusals += [RefusedOutcome(each.index + number * AT_ONCE, each.kind, each.reason) for each in receipt.refusals]
        del refusals[_SHOWN:]
    return OutcomeReceipt(stored, repeated, refused, tuple(refusals))


def _draw(receipt: OutcomeReceipt) -> str:
    return f"{receipt.stored:,} labels stored, {receipt.repeated:,} were there already, {receipt.refused:,} refused"


def _draw_rows(rows: Sequence[LabelledRow]) -> Any:
    from bankmlops.cli.tables import table

    columns = [
        ("number", lambda each: each.number),
        ("request", lambda each: each.request_id),
        ("row", lambda each: each.row),
        ("asked", lambda each: each.time),
        ("model", lambda each: each.model),
        ("answer", lambda each: each.answer),
        ("label", lambda each: each.label),
    ]
    return table(rows, columns)
