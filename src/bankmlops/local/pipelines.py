"""The pipelines of a workspace, seen from any process: publishing writes to the workspace, runs belong to the control server."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from bankmlops.errors import InvalidRequestError
from bankmlops.local.control_client import ControlClient
from bankmlops.local.control_files import HOST, ControlFiles
from bankmlops.local.control_process import find_control_server, start_control_server, stop_control_server
from bankmlops.local.pipeline_documents import from_document, to_document
from bankmlops.local.pipeline_store import PipelineStore, StoredPipeline
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import PipelineConfig, PipelineRun, PublishedPipeline

_NAME = re.compile(r"[^\x00-\x1f\x7f/\\]{1,255}")


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

    def submit(self, config: PipelineConfig) -> PipelineRun:
        """Start a run that outlives this process. Raises `BackendUnavailableError` where no control server runs."""
        _check(config)
        return _run(self._client.post("/runs", to_document(config)))

    def publish(self, config: PipelineConfig, version: str, description: str = "") -> PublishedPipeline:
        """Publish it, control server or not. Raises `ConflictError` where this name and version have other content."""
        _check(config)
        _check_text("the pipeline's version", version)
        return self._published(self._store.publish(config, version, description))

    def get_published(self, pipeline_id: str) -> PublishedPipeline:
        """One published pipeline. Raises `NotFoundError`."""
        return self._published(self._store.get(pipeline_id))

    def list_published(self) -> Sequence[PublishedPipeline]:
        """Every published pipeline, newest first."""
        return [self._published(stored) for stored in self._store.list()]

    def disable(self, pipeline_id: str) -> None:
        """Refuse further triggers (idempotent). Raises `NotFoundError`."""
        self._store.disable(pipeline_id)

    def get_run(self, run_id: str) -> PipelineRun:
        """How a run stands. Raises `NotFoundError`, and `BackendUnavailableError` where no control server runs."""
        return _run(self._client.get(f"/runs/{_path_part(run_id)}"))

    def list_runs(self) -> Sequence[PipelineRun]:
        """The newest runs, newest first; at most 100."""
        return from_document(list[PipelineRun], self._client.get("/runs"))

    def cancel_run(self, run_id: str) -> None:
        """End a run and what it trains; a finished run stays as it is. Raises `NotFoundError`."""
        self._client.post(f"/runs/{_path_part(run_id)}/cancel", {})

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
        )


def _check(config: PipelineConfig) -> None:
    _check_text("the pipeline's name", config.name)
    _check_text("the pipeline's model name", config.model_name)
    minimum = config.minimum_score
    if minimum is not None and not 0 <= minimum < float("inf"):
        raise InvalidRequestError(f"minimum_score {minimum} can't serve; give a number of 0 or more, such as 0.9")


def _check_text(what: str, text: str) -> None:
    if _NAME.fullmatch(text) is None or text != text.strip():
        raise InvalidRequestError(f"{what} {text!r} can't serve; give 1 to 255 characters without a slash or a line break")


def _path_part(text: str) -> str:
    return quote(text, safe="")


def _run(document: Any) -> PipelineRun:
    return from_document(PipelineRun, document)
