"""A drift retrains: which data a published pipeline would learn from, and the run that a report of the drift starts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from bankmlops.backend import Backend
from bankmlops.cli.references import published_pipeline
from bankmlops.cli.session import Session
from bankmlops.errors import InvalidRequestError
from bankmlops.types import Dataset, PublishedPipeline, RunStatus

if TYPE_CHECKING:
    from bankmlops.insights.drift import Drift

ATTEMPTS = 10
_SAID = {RunStatus.COMPLETED: "was retrained"}


@dataclass(frozen=True, slots=True)
class Retraining:
    """What is triggered where a model has drifted."""

    retrain: Annotated[
        str | None,
        typer.Option("--retrain", metavar="PIPELINE", help="Trigger this published pipeline, once for each model and its data."),
    ] = None
    data: Annotated[str, typer.Option("--data", metavar="DATASET", help="Retrain on the newest version of this dataset.")] = ""
    data_parameter: Annotated[
        str, typer.Option("--data-parameter", metavar="NAME", help="The pipeline's parameter that is given that version.")
    ] = ""

    def check(self) -> None:
        """Raises `InvalidRequestError` for one of the options without the others."""
        if bool(self.data) != bool(self.data_parameter) or (self.data and not self.retrain):
            raise InvalidRequestError("--data DATASET, --data-parameter NAME and --retrain PIPELINE go together")

    def after(self, session: Session, drift: Drift) -> None:
        """Start a retraining, or say which one there is, or why there can be none."""
        if not self.retrain:
            return
        backend = session.backend
        pipeline = published_pipeline(backend, self.retrain, None)
        data = _dataset(backend, self.data or pipeline.dataset)
        if data and (reason := self._nothing_new(backend, drift, pipeline, data)):
            session.note(f"model {drift.model} is not retrained: {reason}")
        else:
            _start(session, drift, pipeline, data, {self.data_parameter: _named(data)} if self.data and data else {})

    def _nothing_new(self, backend: Backend, drift: Drift, pipeline: PublishedPipeline, data: Dataset) -> str:
        """Why the pipeline would learn nothing of the drift, in one line; empty where its data is newer than the model's.

        A part that a pipeline held back for training is a dataset of its own, younger than the one that it is a part of.
        """
        known = _dataset(backend, _trained_on(backend, drift.model))
        if known is None or known.created is None or data.created is None or data.created > known.created:
            return ""
        would = f"{pipeline.name}, version {pipeline.version}, would train on {_named(data)}"
        if self.data or ":" not in pipeline.dataset:
            return f"{would}, its newest version, no newer than the model's own {_named(known)}; register newer rows first"
        return (
            f"{would}, which it pins, no newer than the model's own {_named(known)}; "
            "publish a pipeline with a parameter for its data, and name both with --data and --data-parameter"
        )


def _start(session: Session, drift: Drift, pipeline: PublishedPipeline, data: Dataset | None, parameters: dict[str, str]) -> None:
    """Trigger a run, or find the one that an earlier report triggered; one that ended badly is followed by another attempt."""
    from bankmlops import client

    backend = session.backend
    event = hashlib.sha256(f"{drift.endpoint} {drift.model} {_named(data) if data else ''}".encode()).hexdigest()[:40]
    for attempt in range(1, ATTEMPTS + 1):
        key = f"drift-{event}-{attempt}"
        header = backend.authorization_header()
        run_id = client.trigger(pipeline.endpoint, header, f"drift-of-{drift.endpoint}", parameters, key)
        run = backend.get_pipeline_run(run_id)
        words = f"run {run_id} of {pipeline.name}, version {pipeline.version}"
        if run.status not in (RunStatus.FAILED, RunStatus.CANCELED):
            session.note(f"model {drift.model} {_SAID.get(run.status, 'is retrained')} by {words}")
            return
        why = f": {run.error}" if run.error else ""
        session.note(f"attempt {attempt} to retrain model {drift.model}, {words}, is {run.status}{why}")
    session.note(f"model {drift.model} is not retrained again: {ATTEMPTS} attempts ended badly")


def _trained_on(backend: Backend, model: str) -> str:
    name, _, version = model.rpartition(":")
    return backend.get_run(backend.get_model(name, version).run_id).dataset


def _dataset(backend: Backend, reference: str) -> Dataset | None:
    name, _, version = reference.partition(":")
    return backend.get_dataset(name, version or None) if name else None


def _named(dataset: Dataset) -> str:
    return f"{dataset.name}:{dataset.version}"
