"""`bankmlops monitor`: compare an endpoint's collected inputs with its model's training; the exit code tells."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bankmlops.cli.command import command
from bankmlops.cli.endpoints import Name
from bankmlops.cli.exits import DRIFTED
from bankmlops.cli.files import write_page
from bankmlops.cli.output import plain
from bankmlops.cli.references import published_pipeline
from bankmlops.cli.session import Session

if TYPE_CHECKING:
    from bankmlops.insights.drift import Drift

KEPT_REPORTS = 100

application = typer.Typer()


@command(
    application,
    "monitor",
    "bankmlops monitor bank-endpoint",
    "bankmlops monitor bank-endpoint --threshold 0.1 --json",
    "bankmlops monitor bank-endpoint --retrain bank-training",
)
def monitor(
    session: Session,
    name: Name,
    threshold: Annotated[float, typer.Option("--threshold", min=0.0, help="The largest PSI that is no drift.")] = 0.2,
    minimum_rows: Annotated[
        int, typer.Option("--minimum-rows", min=1, help="The fewest collected rows that tell something.")
    ] = 100,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Where reports are kept: monitoring/NAME of the workspace, if left out."),
    ] = None,
    retrain: Annotated[
        str | None,
        typer.Option("--retrain", metavar="PIPELINE", help="Trigger this published pipeline, once for each model that drifts."),
    ] = None,
) -> None:
    """Compare the inputs that an endpoint collected with its model's training data; exits with 8 where a column has drifted."""
    from bankmlops.insights.drift import measure_drift

    endpoint = session.backend.get_endpoint(name)
    drift = measure_drift(session.backend, endpoint, threshold=threshold, minimum_rows=minimum_rows)
    page = _store(drift, output or session.settings.workspace / "monitoring" / name)
    session.show(drift, _draw)
    if drift.unwatched:
        session.note(f"not watched, since their texts are read for words: {', '.join(drift.unwatched)}")
    session.note(f"the report is in {page}")
    if drift.drifted:
        if retrain:
            _retrain(session, drift, retrain)
        raise typer.Exit(DRIFTED)


def _retrain(session: Session, drift: Drift, pipeline: str) -> None:
    """Trigger the pipeline, or find the run that an earlier report of this model's drift triggered: its key is the model's."""
    from bankmlops import client

    published = published_pipeline(session.backend, pipeline, None)
    event = hashlib.sha256(f"{drift.endpoint} {drift.model}".encode()).hexdigest()
    headers = {**session.backend.authorization_header(), "Idempotency-Key": f"drift-{event[:40]}"}
    run_id = client.trigger(published.endpoint, headers, f"drift-of-{drift.endpoint}")
    session.note(f"model {drift.model} is retrained by run {run_id} of {published.name}, version {published.version}")


def _store(drift: Drift, folder: Path) -> Path:
    """Write the report as JSON and HTML, and forget the oldest beyond `KEPT_REPORTS`."""
    from bankmlops.insights.drift_report import drift_report

    path = folder / f"drift-{drift.written:%Y%m%dT%H%M%S%f}Z.html"
    write_page(path.with_suffix(".json"), json.dumps(plain(drift), indent=1, ensure_ascii=False) + "\n")
    write_page(path, drift_report(drift))
    for old in sorted(folder.glob("drift-*.html"))[:-KEPT_REPORTS]:
        old.unlink(missing_ok=True)
        old.with_suffix(".json").unlink(missing_ok=True)
    return path


def _draw(drift: Drift) -> Any:
    from bankmlops.cli.tables import table

    columns = [
        ("column", lambda each: each.name),
        ("PSI", lambda each: each.psi),
        ("Jensen-Shannon", lambda each: each.jensen_shannon),
        ("missing before", lambda each: f"{each.missing_training:.1%}"),
        ("missing now", lambda each: f"{each.missing_now:.1%}"),
        ("new categories", lambda each: ", ".join(list(each.new_categories)[:3])),
        ("", lambda each: "drifted" if each.name in drift.drifted else ""),
    ]
    return table(drift.columns, columns)
