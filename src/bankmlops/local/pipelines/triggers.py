"""How a run of what is published begins, whether a POST or a schedule asks. Who asks names things, and brings no path or code."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from bankmlops.errors import BankMLOpsError, ConflictError, NotFoundError
from bankmlops.local.control.audit import AuditLog
from bankmlops.local.pipelines.endpoints import PipelineEndpoints, pipeline_of
from bankmlops.local.pipelines.engine import PipelineEngine
from bankmlops.local.pipelines.requests import RunRequest
from bankmlops.local.pipelines.store import ACTIVE, PipelineStore, StoredPipeline
from bankmlops.pipelines import Scalar
from bankmlops.pipelines.parameters import assign
from bankmlops.types import PipelineRun


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for a run, and from where, as the audit log says it."""

    actor: str
    origin: str


@dataclass(frozen=True, slots=True)
class Ask:
    """What a run is asked for with; an empty experiment is the pipeline's own."""

    experiment_name: str = ""
    parameters: Mapping[str, Scalar] = field(default_factory=lambda: MappingProxyType({}))
    run_source: str = ""
    tags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class Triggers:
    """Starts runs of published pipelines, directly or through a pipeline endpoint."""

    def __init__(self, store: PipelineStore, endpoints: PipelineEndpoints, engine: PipelineEngine, audit: AuditLog) -> None:
        self._store = store
        self._endpoints = endpoints
        self._engine = engine
        self._audit = audit

    def trigger(self, pipeline_id: str, ask: Ask, asker: Asker, run_id: str = "") -> PipelineRun:
        """Start a run, under an id of its own where none is given; the same id is the same run.

        Raises `NotFoundError`, `ConflictError` where the pipeline is disabled or the id was used for another request,
        `InvalidRequestError` for a parameter, and `BackendUnavailableError` where too many runs wait.
        """
        run_id = run_id or str(uuid.uuid4())
        request = _request(self._active(pipeline_id), ask)
        self._audit.record(asker.actor, "trigger", f"pipeline {pipeline_id}", asker.origin, f"run {run_id}")
        try:
            return self._engine.start(run_id, request)
        except BankMLOpsError as error:
            self._audit.record(asker.actor, "trigger refused", f"pipeline {pipeline_id}", asker.origin, f"run {run_id}: {error}")
            raise

    def pipeline_behind(self, endpoint_id: str, version: str = "", run_id: str = "") -> str:
        """The id of the pipeline that a pipeline endpoint stands for: of a run that began, the one that it began with.

        Raises `NotFoundError`, and `ConflictError` where the endpoint is disabled.
        """
        endpoint = self._endpoints.get(endpoint_id)
        if endpoint.status != ACTIVE:
            raise ConflictError(f"pipeline endpoint {endpoint.name!r} is disabled")
        known = self.find(run_id) if run_id and not version else None
        return known.pipeline_id if known else pipeline_of(endpoint, version)

    def find(self, run_id: str) -> PipelineRun | None:
        """The run of this id; None where there is none."""
        try:
            return self._engine.read(run_id)
        except NotFoundError:
            return None

    def _active(self, pipeline_id: str) -> StoredPipeline:
        pipeline = self._store.get(pipeline_id)
        if pipeline.status != ACTIVE:
            raise ConflictError(f"pipeline {pipeline.name!r} version {pipeline.version!r} is disabled")
        return pipeline


def _request(published: StoredPipeline, ask: Ask) -> RunRequest:
    return RunRequest(
        published.pipeline,
        assign(published.pipeline, ask.parameters),
        ask.experiment_name or published.pipeline.experiment_name,
        published.id,
        ask.run_source,
        ask.tags,
    )


def run_id_of(thing_id: str, key: str) -> str:
    """The id of the run that a key stands for, at one pipeline, pipeline endpoint or schedule: the same key is the same run."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:bankmlops:{thing_id}:{key}"))
