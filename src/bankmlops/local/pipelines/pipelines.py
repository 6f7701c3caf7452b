"""The pipelines of a workspace, seen from any process: publishing writes to the workspace, runs belong to the control server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bankmlops.errors import InvalidRequestError, NotFoundError
from bankmlops.local.control.audit import AuditLog
from bankmlops.local.control.client import ControlClient
from bankmlops.local.control.files import HOST, ControlFiles
from bankmlops.local.control.process import find_control_server, start_control_server, stop_control_server
from bankmlops.local.pipelines.documents import from_document, to_document
from bankmlops.local.pipelines.files import StepFolder, copy_output, read_file_output
from bankmlops.local.pipelines.requests import RunRequest
from bankmlops.local.pipelines.sources import keep_sources
from bankmlops.local.pipelines.step_checks import check_values, default_values
from bankmlops.local.pipelines.store import PipelineStore, StoredPipeline
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.pipelines import DEFAULT_OPTIONS, Pipeline, RunOptions, dataset_trained_on, graph_of
from bankmlops.pipelines.parameters import assign
from bankmlops.pipelines.validation import check_text
from bankmlops.types import PipelineConfig, PipelineRun, PublishedPipeline, StepRun


@dataclass(frozen=True, slots=True)
class ControlServerStatus:
    """Whether the control server runs; `url` is where published endpoints are, served or not; `pid` 0 where none runs."""

    running: bool
    url: str
    pid: int = 0


class Pipelines:
    """The pipelines of one workspace."""

    def __init__(self, workspace: LocalWorkspace) -> None:
        self._workspace = workspace
        self._files = ControlFiles(workspace)
        self._store = PipelineStore(workspace)
        self._client = ControlClient(self._files)
        self._audit = AuditLog(workspace)

    def up(self) -> str:
        """Start the control server (idempotent), and answer its base URL."""
        return start_control_server(self._workspace).url

    def down(self) -> None:
        """Stop the control server (idempotent). Unfinished runs go on at the next `up`; what trains goes on now."""
        stop_control_server(self._workspace)

    def status(self) -> ControlServerStatus:
        """Whether the control server runs, and where."""
        running = find_control_server(self._files)
        if running is None:
            return ControlServerStatus(False, self._base_url())
        return ControlServerStatus(True, running.url, running.process.pid)

    def authorization_header(self) -> Mapping[str, str]:
        """What the control server wants of each request; a secret."""
        return {"Authorization": f"Bearer {self._files.token()}"}

    def submit(self, pipeline: PipelineConfig | Pipeline, options: RunOptions = DEFAULT_OPTIONS) -> PipelineRun:
        """Start a run that outlives this process. Raises `BackendUnavailableError` where no control server runs."""
        graph = graph_of(pipeline)
        check_values(graph, assign(graph, options.parameters))
        request = RunRequest(
            pipeline=keep_sources(self._workspace, graph),
            parameters=options.parameters,
            experiment_name=options.experiment_name,
            run_source=options.run_source,
            tags=options.tags,
            allow_reuse=options.allow_reuse,
        )
        return _run(self._client.post("/runs", to_document(request)))

    def publish(self, pipeline: PipelineConfig | Pipeline, version: str, description: str = "") -> PublishedPipeline:
        """Publish it, control server or not. Raises `ConflictError` where this name and version have other content."""
        check_text("the pipeline's version", version)
        graph = graph_of(pipeline)
        check_values(graph, default_values(graph))
        stored = self._store.publish(keep_sources(self._workspace, graph), version, description)
        self._audit.record_own("publish", f"pipeline {stored.id}", f"{stored.name} version {stored.version}")
        return self._published(stored)

    def get_published(self, pipeline_id: str) -> PublishedPipeline:
        """One published pipeline. Raises `NotFoundError`."""
        return self._published(self._store.get(pipeline_id))

    def list_published(self) -> Sequence[PublishedPipeline]:
        """Every published pipeline, newest first."""
        return [self._published(stored) for stored in self._store.list()]

    def disable(self, pipeline_id: str) -> None:
        """Refuse further triggers (idempotent). Raises `NotFoundError`."""
        self._store.disable(pipeline_id)
        self._audit.record_own("disable", f"pipeline {pipeline_id}")

    def enable(self, pipeline_id: str) -> None:
        """Take triggers again (idempotent). Raises `NotFoundError`."""
        self._store.enable(pipeline_id)
        self._audit.record_own("enable", f"pipeline {pipeline_id}")

    def get_run(self, run_id: str) -> PipelineRun:
        """How a run stands. Raises `NotFoundError`, and `BackendUnavailableError` where no control server runs."""
        return _run(self._client.get(f"/runs/{_path_part(run_id)}"))

    def list_runs(self) -> Sequence[PipelineRun]:
        """The newest runs, newest first; at most 100."""
        return from_document(list[PipelineRun], self._client.get("/runs"))

    def cancel_run(self, run_id: str) -> None:
        """End a run and what it trains; a finished run stays as it is. Raises `NotFoundError`."""
        self._client.post(f"/runs/{_path_part(run_id)}/cancel", {})

    def resubmit(self, run_id: str, from_step: str = "") -> PipelineRun:
        """Run it again with the results of its finished steps, but anew from `from_step` on."""
        return _run(self._client.post(f"/runs/{_path_part(run_id)}/resubmit", {"from_step": from_step}))

    def step_log(self, run_id: str, step: str) -> Sequence[str]:
        """The newest lines of a step's log, oldest first. Raises `NotFoundError`."""
        self._step(run_id, step)
        return StepFolder(self._workspace, run_id, step).lines()

    def download_step_output(self, run_id: str, step: str, output: str, to: Path) -> Path:
        """Copy a file that a step gave. Raises `NotFoundError`, and `InvalidRequestError` where the output is text."""
        outputs = self._step(run_id, step).outputs
        if output not in outputs:
            raise NotFoundError(f"step {step!r} of run {run_id} gave no {output!r}; it gave {', '.join(outputs) or 'nothing'}")
        file = read_file_output(outputs[output])
        if file is None:
            raise InvalidRequestError(f"output {output!r} of step {step!r} is no file: it is {outputs[output][:200]!r}")
        return copy_output(self._workspace, file, to)

    def _step(self, run_id: str, step: str) -> StepRun:
        steps = self.get_run(run_id).steps
        found = next((each for each in steps if each.name == step), None)
        if found is None:
            names = ", ".join(each.name for each in steps)
            raise NotFoundError(f"run {run_id} has no step {step!r}; it has {names}")
        return found

    def _base_url(self) -> str:
        return f"http://{HOST}:{self._files.port()}"

    def _published(self, stored: StoredPipeline) -> PublishedPipeline:
        return PublishedPipeline(
            id=stored.id,
            name=stored.name,
            version=stored.version,
            endpoint=f"{self._base_url()}/pipelines/{stored.id}/submit",
            status=stored.status,
            description=stored.description,
            dataset=dataset_trained_on(stored.pipeline),
        )


def _path_part(text: str) -> str:
    return quote(text, safe="")


def _run(document: Any) -> PipelineRun:
    return from_document(PipelineRun, document)
