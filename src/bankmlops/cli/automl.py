"""`bankmlops automl`: search for the best model, and look at what was found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bankmlops.cli.command import command, group
from bankmlops.cli.drawing import draw_children, draw_lines, draw_run, draw_runs, draw_trials
from bankmlops.cli.hints import after_run
from bankmlops.cli.references import automl_run_id
from bankmlops.cli.search import Search, Table, registered
from bankmlops.cli.session import Session
from bankmlops.cli.waiting import attended, await_run
from bankmlops.cli.words import Minutes, WaitMinutes

application = group("automl", "Search for the best model, and look at what was found.")

RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or: latest.")]


@command(
    application,
    "run",
    "bankmlops automl run --dataset bank --minutes 2",
    "bankmlops automl run --data bank.csv --label y --minutes 2 --metric AUC_weighted",
    "bankmlops automl run --dataset bank --allowed-models LightGBM,LogisticRegression --no-wait",
)
def run(
    session: Session,
    table: Table,
    search: Search,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Stay until the run has ended; Ctrl-C then cancels it.")] = True,
) -> None:
    """Search for the best model within a budget of minutes, and print the winner."""
    config = search.config(session, registered(session, table))
    backend = session.backend
    if wait:
        with attended(lambda: backend.submit_automl(config).id, backend.cancel_run) as run_id:
            shown = await_run(backend, run_id, budget=search.minutes)
    else:
        shown = backend.submit_automl(config)
    session.show(shown, draw_run)
    session.hint(after_run(session, shown, config.dataset.name))


@command(application, "list", "bankmlops automl list")
def list_runs(session: Session) -> None:
    """List the AutoML runs, newest first."""
    session.show(session.backend.list_runs(), draw_runs)


@command(application, "show", "bankmlops automl show latest")
def show(session: Session, run: RunId) -> None:
    """Show how a run stands, and its winner."""
    session.show(session.backend.get_run(automl_run_id(session.backend, run)), draw_run)


@command(application, "watch", "bankmlops automl watch latest --minutes 10")
def watch(session: Session, run: RunId, minutes: WaitMinutes = None) -> None:
    """Watch a run to its end; Ctrl-C ends the watching, not the run."""
    session.show(await_run(session.backend, automl_run_id(session.backend, run), at_most=minutes), draw_run)


@command(application, "children", "bankmlops automl children latest")
def children(session: Session, run: RunId) -> None:
    """Show the leaderboard: every finished trial and ensemble, best first."""
    session.show(session.backend.list_children(automl_run_id(session.backend, run)), draw_children)


@command(application, "trials", "bankmlops automl trials latest")
def trials(session: Session, run: RunId) -> None:
    """Show every trial that has ended, those that were given up, killed or failed too, with the reason."""
    session.show(session.backend.list_trials(automl_run_id(session.backend, run)), draw_trials)


@command(application, "cancel", "bankmlops automl cancel latest")
def cancel(session: Session, run: RunId) -> None:
    """End a run and its trials; a finished run stays as it is."""
    run_id = automl_run_id(session.backend, run)
    session.backend.cancel_run(run_id)
    session.show(session.backend.get_run(run_id), draw_run)


@command(application, "resume", "bankmlops automl resume latest", "bankmlops automl resume latest --no-wait")
def resume(
    session: Session,
    run: RunId,
    minutes: WaitMinutes = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Stay until the run has ended; Ctrl-C then cancels it.")] = True,
) -> None:
    """Go on with a run that was canceled or has failed, from its finished trials, in what is left of its budget."""
    backend, run_id = session.backend, automl_run_id(session.backend, run)
    if not wait:
        session.show(backend.resume_run(run_id), draw_run)
        return
    with attended(lambda: backend.resume_run(run_id).id, backend.cancel_run):
        ended = await_run(backend, run_id, at_most=minutes)
    session.show(ended, draw_run)


@command(
    application,
    "continue",
    "bankmlops automl continue latest --minutes 10",
    "bankmlops automl continue latest --minutes 10 --dataset bank-june",
)
def continue_(
    session: Session,
    run: RunId,
    minutes: Minutes = 1.0,
    dataset: Annotated[
        str | None, typer.Option("--dataset", metavar="NAME", help="Go on with other data: the run's own, if left out.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Stay until the run has ended; Ctrl-C then cancels it.")] = True,
) -> None:
    """Start a run that goes on from an ended one's trials for as many minutes more; its tags show what that bought."""
    backend, run_id = session.backend, automl_run_id(session.backend, run)
    given = backend.get_dataset(dataset) if dataset else None
    if not wait:
        session.show(backend.continue_run(run_id, minutes, given), draw_run)
        return
    with attended(lambda: backend.continue_run(run_id, minutes, given).id, backend.cancel_run) as continued:
        ended = await_run(backend, continued, budget=minutes)
    session.show(ended, draw_run)


@command(application, "artifacts", "bankmlops automl artifacts latest")
def artifacts(session: Session, run: RunId) -> None:
    """List the files of a run."""
    session.show(session.backend.list_artifacts(automl_run_id(session.backend, run)), draw_lines)


@command(application, "download", "bankmlops automl download latest outputs/leaderboard.csv --to reports")
def download(
    session: Session,
    run: RunId,
    path: Annotated[str, typer.Argument(metavar="PATH", help="One of the run's files, as `artifacts` lists them.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder to copy it into.")] = Path(),
) -> None:
    """Copy one file of a run."""
    file = session.backend.download_artifact(automl_run_id(session.backend, run), path, to)
    session.show({"file": str(file)}, lambda copied: str(copied["file"]))
