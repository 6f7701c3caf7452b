"""`bankmlops pipelines`: publish the training behind a REST endpoint, trigger it, and watch its runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from bankmlops.cli.command import command, group
from bankmlops.cli.drawing import draw_pipeline, draw_pipeline_run, draw_pipeline_runs, draw_pipelines
from bankmlops.cli.output import emit, emit_json
from bankmlops.cli.pipeline_files import (
    Assignments,
    RunWords,
    StepName,
    description_of,
    draw_path,
    draw_pruned,
    is_pipeline_file,
    lines_named,
    parameters_of,
)
from bankmlops.cli.references import pipeline_run_id, published_pipeline
from bankmlops.cli.search import DatasetVersion, Search
from bankmlops.cli.session import Session
from bankmlops.cli.waiting import attended, await_pipeline_run
from bankmlops.connect import control_desk
from bankmlops.errors import BackendUnavailableError, InvalidRequestError
from bankmlops.pipelines import Pipeline
from bankmlops.types import PipelineConfig, PublishedPipeline

application = group("pipelines", "Publish the training behind a REST endpoint, trigger it, and watch its runs.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The pipeline's name, or its id.")]
NewName = Annotated[str, typer.Argument(metavar="NAME|FILE", help="The pipeline's name, or its YAML file.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The pipeline run's id, or: latest.")]
Version = Annotated[str | None, typer.Option("--version", help="One version: the newest that is active, if left out.")]
Wait = Annotated[
    bool, typer.Option("--watch/--no-watch", "--wait/--no-wait", help="Watch the run to its end; Ctrl-C then cancels it.")
]


@dataclass(frozen=True, slots=True)
class Training:
    """What a pipeline trains on, and what it makes of it."""

    dataset: Annotated[
        str | None, typer.Option("--dataset", metavar="NAME", help="The registered dataset to train on; not with a file.")
    ] = None
    dataset_version: DatasetVersion = None
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="The model to register: the pipeline's name, if left out.")
    ] = None
    minimum_score: Annotated[
        float | None, typer.Option("--minimum-score", help="Register no model whose primary metric is lower.")
    ] = None

    def config(self, session: Session, name: str, search: Search) -> PipelineConfig:
        """The pipeline of this name."""
        if self.dataset is None:
            raise InvalidRequestError("name what to train on: --dataset NAME; or name a pipeline's YAML file instead of NAME")
        dataset = session.backend.get_dataset(self.dataset, self.dataset_version)
        return PipelineConfig(name, search.config(session, dataset), self.model or name, self.minimum_score)


def refuse_options(name: str, *given: Training | Search) -> None:
    """A file says it all. Raises `InvalidRequestError` for an option of a search that stands beside it."""
    changed = [field.name for words in given for field in fields(words) if getattr(words, field.name) != field.default]
    if changed:
        option = f"--{changed[0].replace('_', '-')}"
        raise InvalidRequestError(f"{option} does not go with {name}: the file says what its steps do; try --set, or edit it")


def pipeline_of(session: Session, name: str, training: Training, search: Search) -> PipelineConfig | Pipeline:
    """The pipeline of a YAML file, or the four steps of the options."""
    if not is_pipeline_file(name):
        return training.config(session, name, search)
    refuse_options(name, training, search)
    from bankmlops.pipelines.yaml_file import load_pipeline

    return load_pipeline(Path(name))


@command(
    application,
    "publish",
    "bankmlops pipelines publish bank-training --dataset bank --minutes 1 --version 1",
    "bankmlops pipelines publish bank-training --dataset bank --minimum-score 0.9 --version 2",
    "bankmlops pipelines publish retraining.yaml --version 1",
)
def publish(
    session: Session,
    name: NewName,
    training: Training,
    search: Search,
    version: Annotated[str, typer.Option("--version", help="The version that this content gets.")] = "1",
    description: Annotated[str, typer.Option("--description", help="A line for those who come later.")] = "",
) -> None:
    """Make a pipeline an immutable version behind a REST endpoint: of a YAML file, or prepare, AutoML, evaluate, register."""
    pipeline = pipeline_of(session, name, training, search)
    with session.busy(f"publishing {pipeline.name}"), lines_named(name):
        published = session.backend.publish_pipeline(pipeline, version, description or description_of(pipeline))
    session.show(published, draw_pipeline)


@command(
    application,
    "run",
    "bankmlops pipelines run bank-training --dataset bank --minutes 1",
    "bankmlops pipelines run retraining.yaml --set minutes=2 --set dataset=bank",
    "bankmlops pipelines run retraining.yaml --no-reuse",
)
def run(session: Session, name: NewName, training: Training, search: Search, given: RunWords, wait: Wait = True) -> None:
    """Run a pipeline once, without publishing it (`up` must have been called)."""
    pipeline = pipeline_of(session, name, training, search)
    with lines_named(name):
        _start(session, lambda: session.backend.submit_pipeline(pipeline, given.options).id, wait)


@command(
    application,
    "resubmit",
    "bankmlops pipelines resubmit latest",
    "bankmlops pipelines resubmit latest --from register --no-wait",
)
def resubmit(
    session: Session,
    run: RunId,
    from_step: Annotated[str, typer.Option("--from", metavar="STEP", help="Do this step and all after it anew.")] = "",
    wait: Wait = True,
) -> None:
    """Run an ended pipeline run again, with the results of its finished steps."""
    run_id = pipeline_run_id(session.backend, run)
    _start(session, lambda: session.backend.resubmit_pipeline_run(run_id, from_step).id, wait)


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
    "bankmlops pipelines trigger bank-training --set minutes=2 --idempotency-key build-17",
)
def trigger(
    session: Session,
    name: Name,
    version: Version = None,
    experiment: Annotated[str, typer.Option("--experiment", help="The experiment of the run.")] = "pipeline-rest-endpoint",
    assignments: Assignments = None,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", metavar="KEY", help="The same key again is the same run, not another.")
    ] = None,
    wait: Wait = True,
) -> None:
    """Start a run of a published pipeline by a POST with a bearer token, and watch it step by step."""
    if idempotency_key is not None and session.settings.backend == "azure":
        raise InvalidRequestError("--idempotency-key: Azure ML knows none, and would start another run; leave it out")
    published = published_pipeline(session.backend, name, version)
    _start(session, partial(_trigger, session, published, experiment, parameters_of(assignments), idempotency_key), wait)


def _trigger(
    session: Session, published: PublishedPipeline, experiment: str, parameters: Mapping[str, str], key: str | None
) -> str:
    from bankmlops import client

    try:
        return client.trigger(published.endpoint, session.backend.authorization_header(), experiment, parameters, key)
    except BackendUnavailableError as error:
        raise BackendUnavailableError(f"{error}; `bankmlops up` starts what published pipelines need") from error


def _start(session: Session, start: Callable[[], str], wait: bool) -> None:
    """Start a run and show it: at once, or when it has completed."""
    backend = session.backend
    if not wait:
        session.show(backend.get_pipeline_run(start()), draw_pipeline_run)
        return
    with attended(start, backend.cancel_pipeline_run) as run_id:
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


@command(application, "enable", "bankmlops pipelines enable bank-training --version 1")
def enable(session: Session, name: Name, version: Version = None) -> None:
    """Take triggers of a published pipeline again."""
    published = published_pipeline(session.backend, name, version)
    session.backend.enable_pipeline(published.id)
    session.show(session.backend.get_published_pipeline(published.id), draw_pipeline)


@command(application, "schema", "bankmlops pipelines schema > pipeline.schema.json")
def schema(session: Session) -> None:
    """Print the JSON schema of a pipeline's YAML file."""
    from bankmlops.pipelines.yaml_file import pipeline_schema

    session.show(pipeline_schema(), partial(json.dumps, indent=2))


@command(application, "log", "bankmlops pipelines log latest train")
def log(session: Session, run: RunId, step: StepName) -> None:
    """Print the log of a pipeline run's step."""
    lines = session.backend.get_step_log(pipeline_run_id(session.backend, run), step)
    if session.settings.as_json:
        emit_json(lines)
    else:
        emit("\n".join(lines))


@command(application, "download", "bankmlops pipelines download latest score predictions --to results")
def download(
    session: Session,
    run: RunId,
    step: StepName,
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="The output's name.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder to copy it into.")] = Path(),
) -> None:
    """Copy a file that a pipeline run's step gave."""
    path = session.backend.download_step_output(pipeline_run_id(session.backend, run), step, output, to)
    session.show({"path": str(path)}, draw_path)


@command(
    application,
    "prune",
    "bankmlops pipelines prune --older-than 90 --dry-run",
    "bankmlops pipelines prune --older-than 90",
)
def prune(
    session: Session,
    days: Annotated[float, typer.Option("--older-than", metavar="DAYS", min=1, help="Runs that ended at least so long ago.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted, and delete nothing.")] = False,
) -> None:
    """Delete old pipeline runs with their files, but none that the next run may reuse or that made a registered model."""
    desk = control_desk(session.settings.backend, session.settings.workspace)
    session.show(desk.find_prunable_runs(days) if dry_run else desk.prune_runs(days), partial(draw_pruned, dry_run))
