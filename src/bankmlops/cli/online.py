"""`bankmlops online`: learn from labels that arrive late, beside the champion, and promote what is better."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bankmlops.cli.command import command, group
from bankmlops.cli.drawing import draw_model
from bankmlops.cli.references import registered_model
from bankmlops.cli.session import Session
from bankmlops.errors import InvalidRequestError

if TYPE_CHECKING:
    from bankmlops.online.loop import OnlineLoop, OnlineSettings
    from bankmlops.online.report import OnlineReport
    from bankmlops.online.stream import Stream
    from bankmlops.online.training import WindowTraining
    from bankmlops.types import Model

application = group("online", "Learn from labels that arrive late, beside the champion, and promote what is better.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The online run's name.")]


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows and labels come from."""

    rows: Annotated[Path | None, typer.Option("--rows", metavar="FILE", help="Rows with request_id and time.")] = None
    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="FILE", help="Their labels, with request_id and time of arrival.")
    ] = None
    endpoint: Annotated[
        str | None,
        typer.Option("--endpoint", metavar="NAME", help="What this endpoint was asked, with the labels that came back."),
    ] = None
    label: Annotated[str, typer.Option("--label", metavar="COLUMN", help="What an endpoint's label is called.")] = "y"

    def read(self, session: Session) -> Stream:
        """The stream. Raises `InvalidRequestError` where none, or two, are named."""
        from bankmlops.online.stream import read_stream, stream_of

        if self.endpoint and not (self.rows or self.labels):
            return stream_of(_labelled(session, self.endpoint), self.label)
        if self.rows and self.labels and not self.endpoint:
            return read_stream(self.rows, self.labels)
        raise InvalidRequestError("name the stream: --rows FILE and --labels FILE, or --endpoint NAME")


@dataclass(frozen=True, slots=True)
class Learning:
    """How the policies learn."""

    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="NAME", help="The champion, NAME (the newest) or NAME:VERSION: one of the warm-up, if left out."
        ),
    ] = None
    warm_up: Annotated[int, typer.Option("--warm-up", help="So many labels start every policy, and are not scored.")] = 3000
    retrain_every: Annotated[
        int, typer.Option("--retrain-every", min=0, help="Run AutoML anew after so many labels; 0 is never.")
    ] = 5000
    window: Annotated[int, typer.Option("--window", help="How many of the newest labels AutoML takes.")] = 5000
    minutes: Annotated[float, typer.Option("--minutes", help="The budget of each AutoML run, in minutes.")] = 0.5
    seed: Annotated[int, typer.Option("--seed", min=0, help="The challenger's random seed.")] = 42

    def settings(self, model: Model | None) -> OnlineSettings:
        """For the loop; `model` is the champion."""
        from bankmlops.online.loop import OnlineSettings

        champion = f"{model.name}:{model.version}" if model else ""
        return OnlineSettings(self.warm_up, self.retrain_every, self.window, self.seed, champion)


@command(
    application,
    "run",
    "bankmlops online run bank --rows stream.csv --labels stream.labels.csv",
    "bankmlops online run bank --endpoint bank-endpoint --model bank --minutes 1",
)
def run(
    session: Session,
    name: Name,
    source: Source,
    learning: Learning,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="Mark it as generated data in every report.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget an earlier run of this name.")] = False,
) -> None:
    """Predict, score and learn a stream, by a champion, by AutoML now and then, and online; one that was ended goes on."""
    from bankmlops.online.loop import OnlineLoop, check_start
    from bankmlops.online.promotion import keep
    from bankmlops.online.report import alone

    began = time.monotonic()
    stream, folder = source.read(session), _folder(session, name)
    model = registered_model(session.backend, learning.model) if learning.model else None
    settings = learning.settings(model)
    with alone(folder):
        champion = _bundle(session, model, folder) if model else None
        if fresh:
            check_start(stream, settings, champion)
            _forget(folder, champion)
        training = _training(session, name, stream, learning, synthetic=synthetic)
        loop = OnlineLoop(stream, settings, folder, training, champion)
        _follow(loop, name)
        report = keep(loop, training, folder, time.monotonic() - began)
    session.show(report, _draw)


@command(application, "status", "bankmlops online status bank", "bankmlops online status bank --json")
def status(session: Session, name: Name) -> None:
    """Show what an online run found when it last came to the end of its stream."""
    from bankmlops.online.report import read_report

    session.show(read_report(_folder(session, name)), _draw)


@command(application, "promote", "bankmlops online promote bank --model bank")
def promote(
    session: Session,
    name: Name,
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="The champion, which gets a new version, or a new name.")],
    minimum_score: Annotated[
        float | None, typer.Option("--minimum-score", help="Register nothing whose AUC_weighted is lower.")
    ] = None,
) -> None:
    """Register the challenger, if it is better than the model's newest version by more than chance and its export repeats it."""
    from bankmlops.online.gate import promote as promoted
    from bankmlops.online.report import read_report

    report = read_report(_folder(session, name))
    session.show(promoted(session.backend, report, model, minimum_score), draw_model)


def _folder(session: Session, name: str) -> Path:
    from bankmlops.online.report import check_name

    check_name(name)
    return session.settings.workspace / "online" / name


def _forget(folder: Path, champion: Path | None) -> None:
    """Remove all but what this process needs."""
    for path in folder.iterdir():
        if path.is_dir() and path != champion:
            shutil.rmtree(path)
        elif path.is_file() and path.name != ".lock":
            path.unlink()


def _labelled(session: Session, endpoint: str) -> list[Any]:
    """All of an endpoint's labels, page by page."""
    rows: list[Any] = []
    while page := session.backend.list_outcomes(endpoint, rows[-1].number if rows else 0):
        rows += page
    if not rows:
        raise InvalidRequestError(f"no label has come back for endpoint {endpoint!r}; `bankmlops feedback import` takes them in")
    return rows


def _training(session: Session, name: str, stream: Stream, learning: Learning, *, synthetic: bool) -> WindowTraining:
    from bankmlops.online.training import WindowTraining

    said: set[str] = set()

    def on_run(run: Any) -> None:
        if run.id not in said:
            said.add(run.id)
            session.note(f"AutoML runs on the newest labels: {run.id}")

    return WindowTraining(session.backend, name, stream.label_column, learning.minutes, synthetic, on_run)


def _bundle(session: Session, model: Model, folder: Path) -> Path:
    from bankmlops.online.training import fetch_bundle

    bundle = folder / f"champion-{model.name}-{model.version}"
    bundle.mkdir(exist_ok=True)
    return fetch_bundle(session.backend, model.run_id, bundle)


def _follow(loop: OnlineLoop, name: str) -> None:
    from bankmlops.cli.progress import counting

    with counting(f"online {name}", "rows") as on_progress:
        loop.run(on_progress)


def _draw(report: OnlineReport) -> Any:
    from rich.console import Group

    from bankmlops.cli.tables import table
    from bankmlops.online.champion import OWN_CHAMPION

    columns = [
        ("policy", lambda each: each.policy),
        ("labels", lambda each: each.rows),
        ("log loss", lambda each: each.log_loss),
        ("accuracy", lambda each: each.accuracy),
        ("AUC_weighted", lambda each: each.AUC_weighted),
    ]
    found = report.comparison
    verdict = "better" if found.is_better else "no better, or by chance"
    compared = (
        f"log loss on the newest {found.rows:,} labels: {found.challenger:.4f}, the champion's {found.champion:.4f}; {verdict}"
    )
    if not found.rows:
        compared = "no label has been scored against this champion yet"
    since = f", after {report.new_champions[-1]:,} labels" if report.new_champions else ""
    return Group(
        table(report.scores, columns),
        compared,
        f"the champion is {report.champion or OWN_CHAMPION}{since}",
        f"AutoML ran anew {len(report.retrained)} times; the challenger is run {report.run_id}",
    )
