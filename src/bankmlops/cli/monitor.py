"""`bankmlops monitor`: compare an endpoint's collected inputs with its model's training; the exit code tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bankmlops.cli.command import command
from bankmlops.cli.endpoints import Name
from bankmlops.cli.exits import DRIFTED
from bankmlops.cli.files import write_private_page
from bankmlops.cli.output import plain
from bankmlops.cli.retraining import Retraining
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
    "bankmlops monitor bank-live --retrain bank-retraining --data bank --data-parameter dataset",
)
def monitor(
    session: Session,
    name: Name,
    retraining: Retraining,
    threshold: Annotated[float, typer.Option("--threshold", min=0.0, help="The largest PSI that is no drift.")] = 0.2,
    minimum_rows: Annotated[
        int, typer.Option("--minimum-rows", min=1, help="The fewest collected rows that tell something.")
    ] = 100,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Where reports are kept: monitoring/NAME of the workspace, if left out."),
    ] = None,
) -> None:
    """Compare the inputs that an endpoint collected with its model's training data; exits with 8 where a column has drifted."""
    from bankmlops.insights.drift import measure_drift

    retraining.check()
    endpoint = session.backend.get_endpoint(name)
    drift = measure_drift(session.backend, endpoint, threshold=threshold, minimum_rows=minimum_rows)
    page = _store(drift, output or session.settings.workspace / "monitoring" / name)
    session.show(drift, _draw)
    if drift.unwatched:
        session.note(f"not watched, since training left no profile of their texts: {', '.join(drift.unwatched)}")
    session.note(f"the report is in {page}")
    if drift.drifted:
        retraining.after(session, drift)
        raise typer.Exit(DRIFTED)


def _store(drift: Drift, folder: Path) -> Path:
    """Write the report as JSON and HTML, and forget the oldest beyond `KEPT_REPORTS`. Callers' values are in it."""
    from bankmlops.insights.drift_report import drift_report

    path = folder / f"drift-{drift.written:%Y%m%dT%H%M%S%f}Z.html"
    write_private_page(path.with_suffix(".json"), json.dumps(plain(drift), indent=1, ensure_ascii=False) + "\n")
    write_private_page(path, drift_report(drift))
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
