"""`bankmlops e2e`: the whole flow, from a table to a triggered pipeline, with its evidence."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bankmlops.cli.command import command
from bankmlops.cli.data import Label
from bankmlops.cli.evidence import evidence_file
from bankmlops.cli.output import emit_json
from bankmlops.cli.session import Session
from bankmlops.cli.words import Minutes, PipelineMinutes
from bankmlops.types import CostlyResource, DataSource

if TYPE_CHECKING:
    from bankmlops.evidence import Evidence

CACHE = Path("data")
SCORED_ROWS = 2


@dataclass(frozen=True, slots=True)
class Table:
    """What the flow is run on."""

    data: Annotated[Path | None, typer.Option("--data", metavar="FILE", help="A table: the public one, if left out.")] = None
    label: Label = None
    offline: Annotated[bool, typer.Option("--offline", help="Download nothing; a synthetic table may take its place.")] = False
    name: Annotated[str, typer.Option("--name", help="What dataset, model and endpoint are called.")] = "bankmarketing"


@dataclass(frozen=True, slots=True)
class Load:
    """What the benchmark sends."""

    requests: Annotated[int, typer.Option("--requests", min=1, help="How many requests the benchmark sends.")] = 500
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, help="How many of them at a time.")] = 8


application = typer.Typer(add_completion=False)


@command(
    application,
    "e2e",
    "bankmlops e2e",
    "bankmlops e2e --data customers.csv --label churned --minutes 2",
    "bankmlops e2e --offline --keep --evidence build/e2e/local.json",
)
def e2e(
    session: Session,
    table: Table,
    load: Load,
    minutes: Minutes = 1.0,
    pipeline_minutes: PipelineMinutes = 0.5,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the endpoint up in the end.")] = False,
    evidence: Annotated[
        Path | None, typer.Option("--evidence", metavar="FILE", help="Where to write the evidence as JSON.")
    ] = None,
) -> None:
    """Run the whole flow: data, AutoML, model, endpoint, logs, scoring, load, pipeline. All is taken down in the end."""
    from bankmlops.cli.flow_report import FlowReport
    from bankmlops.evidence import Evidence
    from bankmlops.flow import FlowConfig, run_flow

    found = Evidence()
    budgets = {"AutoML": minutes, "trigger pipeline": pipeline_minutes}
    with evidence_file(evidence) as write, _told(session, found, write), FlowReport(session.settings.as_json, budgets) as report:
        source = _source(table)
        label, rows = _looked_at(session, table, source)
        config = FlowConfig(
            source,
            label,
            rows,
            dataset_name=table.name,
            model_name=table.name,
            endpoint_name=table.name,
            pipeline_name=f"{table.name}-training",
            automl_minutes=minutes,
            pipeline_minutes=pipeline_minutes,
            benchmark_requests=load.requests,
            benchmark_concurrency=load.concurrency,
            keep=keep,
        )
        run_flow(session.backend, config, report, found)


def _source(table: Table) -> DataSource:
    from bankmlops.cli.progress import counting
    from bankmlops.datasets import find_source

    environ = {**os.environ, **({"BANKMLOPS_OFFLINE": "1"} if table.offline else {})}
    with counting("looking for the table", "bytes") as on_progress:
        return find_source(table.data, environ, CACHE, on_progress=on_progress)


def _looked_at(session: Session, asked: Table, source: DataSource) -> tuple[str, Sequence[Mapping[str, object]]]:
    """The column to predict, and the first rows without it, which the flow scores."""
    from bankmlops.datasets import guess_label, read_table

    table = read_table(source.path)
    label = asked.label or guess_label(table.column_names) or ""
    if asked.data and not asked.label:
        session.note(f"the label is {label!r}, since no --label names another")
    rows = table.slice(0, SCORED_ROWS).to_pylist()
    return label, [{name: value for name, value in row.items() if name != label} for row in rows]


@contextmanager
def _told(session: Session, found: Evidence, write: Callable[[Mapping[str, Any]], None]) -> Iterator[None]:
    """Whatever becomes of the flow, its evidence is written, and printed where JSON was asked for."""
    from bankmlops.evidence import evidence_document

    surroundings = _surroundings(session)  # before anything can have changed them
    try:
        yield
    except BaseException as error:
        found.error = found.error or str(error) or type(error).__name__
        raise
    finally:
        document = evidence_document(found, session.settings.backend, **surroundings)
        write(document)
        for line in _costs(found):
            session.note(line)
        if session.settings.as_json:
            emit_json(document)


def _surroundings(session: Session) -> dict[str, bool]:
    from bankmlops.emulator.web.proxy_settings import leads_to_emulator

    return {"emulated": leads_to_emulator(os.environ)} if session.settings.backend == "azure" else {}


def _costs(found: Evidence) -> Iterator[str]:
    """What a person who pays wants to know in the end."""
    if found.released:
        yield f"removed, since it costs money: {_listed(found.released)}"
    if found.left:
        yield f"still there, and costs money: {_listed(found.left)}"


def _listed(resources: Sequence[CostlyResource]) -> str:
    return ", ".join(f"{resource.kind} {resource.name}" for resource in resources)
