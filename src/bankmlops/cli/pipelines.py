"""`bankmlops pipelines`: publish the training behind a REST endpoint, trigger it, and watch its runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import typer

from bankmlops.backend import started
from bankmlops.cli.command import command, group
from bankmlops.cli.drawing import draw_pipeline, draw_pipeline_run, draw_pipeline_runs, draw_pipelines
from bankmlops.cli.references import pipeline_run_id, published_pipeline
from bankmlops.cli.search import DatasetVersion, Search
from bankmlops.cli.session import Session
from bankmlops.cli.waiting import await_pipeline_run
from bankmlops.errors import BackendUnavailableError
from bankmlops.types import PipelineConfig, PublishedPipeline

application = group("pipelines", "Publish the training behind a REST endpoint, trigger it, and watch its runs.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The pipeline's name, or its id.")]
NewName = Annotated[str, typer.Argument(metavar="NAME", help="The pipeline's name.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The pipeline run's id, or: latest.")]
Version = Annotated[str | None, typer.Option("--version", help="One version: the newest that is active, if left out.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Watch the run to its end; Ctrl-C then cancels it.")]


@dataclass(frozen=True, slots=True)
class Training:
    """What a pipeline trains on, and what it makes of it."""

    dataset: Annotated[str, typer.Option("--dataset", metavar="NAME", help="The registered dataset to train on.")]
    dataset_version: DatasetVersion = None
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="The model to register: the pipeline's name, if left out.")
    ] = None
    minimum_score: Annotated[
        float | None, typer.Option("--minimum-score", help="Register no model whose primary metric is lower.")
    ] = None

    def config(self, session: Session, name: str, search: Search) -> PipelineConfig:
        """The pipeline of this name."""
        dataset = session.backend.get_dataset(self.dataset, self.dataset_version)
        return PipelineConfig(name, search.config(session, dataset), self.model or name, self.minimum_score)


@command(
    application,
    "publish",
    "bankmlops pipelines publish bank-training --dataset bank --minutes 1 --version 1",
    "bankmlops pipelines publish bank-training --dataset bank --minimum-score 0.9 --version 2",
)
def publish(
    session: Session,
    name: NewName,
    training: Training,
    search: Search,
    version: Annotated[str, typer.Option("--version", help="The version that this content gets.")] = "1",
    description: Annotated[str, typer.Option("--description", help="A line for those who come later.")] = "",
) -> None:
    """Make a pipeline (prepare, AutoML, evaluate, register) an immutable version behind a REST endpoint."""
    with session.busy(f"publishing {name}"):
        published = session.backend.publish_pipeline(training.config(session, name, search), version, description)
    session.show(published, draw_pipeline)


@command(application, "run", "bankmlops pipelines run bank-training --dataset bank --minutes 1")
def run(session: Session, name: NewName, training: Training, search: Search, wait: Wait = True) -> None:
    """Run a pipeline once, without publishing it (`up` must have been called)."""
    config = training.config(session, name, search)
    _start(session, lambda: session.backend.submit_pipeline(config).id, wait)


@command(application, "list", "bankmlops pipelines list")
def list_pipelines(session: Session) -> None:
    """List every published pipeline, newest first."""
    session.show(session.backend.list_published_pipelines(), draw_pipelines)


@command(application, "show", "bankmlops pipelines show bank-training")
def show(session: Session, name: Name, version: Version = None) -> None:
    """Show a published pipeline, and the address that triggers it."""
    session.show(published_pipeline(session.backend, name, version), draw_pipeline)


@command(
    application,
    "trigger",
    "bankmlops pipelines trigger bank-training",
    "bankmlops pipelines trigger bank-training --experiment nightly --no-wait",
)
def trigger(
    session: Session,
    name: Name,
    version: Version = None,
    experiment: Annotated[str, typer.Option("--experiment", help="The experiment of the run.")] = "pipeline-rest-endpoint",
    wait: Wait = True,
) -> None:
    """Start a run of a published pipeline by a POST with a bearer token, and watch it step by step."""
    published = published_pipeline(session.backend, name, version)
    _start(session, partial(_trigger, session, published, experiment), wait)


def _trigger(session: Session, published: PublishedPipeline, experiment: str) -> str:
    from bankmlops import client

    try:
        return client.trigger(published.endpoint, session.backend.authorization_header(), experiment)
    except BackendUnavailableError as error:
        raise BackendUnavailableError(f"{error}; `bankmlops up` starts what published pipelines need") from error


def _start(session: Session, start: Callable[[], str], wait: bool) -> None:
    """Start a run and show it: at once, or when it has completed."""
    backend = session.backend
    if not wait:
        session.show(backend.get_pipeline_run(start()), draw_pipeline_run)
        return
    with started(start, backend.cancel_pipeline_run) as run_id:
        ended = await_pipeline_run(backend, run_id)
    session.show(ended, draw_pipeline_run)


@command(application, "watch", "bankmlops pipelines watch latest")
def watch(session: Session, run: RunId) -> None:
    """Watch a pipeline run to its end; Ctrl-C ends the watching, not the run."""
    session.show(await_pipeline_run(session.backend, pipeline_run_id(session.backend, run)), draw_pipeline_run)


@command(application, "runs", "bankmlops pipelines runs")
def runs(session: Session) -> None:
    """List the pipeline runs, newest first."""
    session.show(session.backend.list_pipeline_runs(), draw_pipeline_runs)


@command(application, "cancel", "bankmlops pipelines cancel latest")
def cancel(session: Session, run: RunId) -> None:
    """End a pipeline run and what it trains; a finished run stays as it is."""
    run_id = pipeline_run_id(session.backend, run)
    session.backend.cancel_pipeline_run(run_id)
    session.show(session.backend.get_pipeline_run(run_id), draw_pipeline_run)


@command(application, "disable", "bankmlops pipelines disable bank-training --version 1")
def disable(session: Session, name: Name, version: Version = None) -> None:
    """Refuse further triggers of a published pipeline."""
    published = published_pipeline(session.backend, name, version)
    session.backend.disable_pipeline(published.id)
    session.show(session.backend.get_published_pipeline(published.id), draw_pipeline)
