"""What the page reads: JSON under `/page`, each answer with an ETag, so that a reader who asks often costs little.

A resource is read once a second at most, however many pages are open.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fastapi import APIRouter, Request
from starlette.responses import Response

from bankmlops.backend import Backend
from bankmlops.errors import NotFoundError
from bankmlops.local.control.page_files import etag_of
from bankmlops.local.control.page_traffic import read_traffic
from bankmlops.local.log_tail import last_lines
from bankmlops.local.pipelines.documents import to_document
from bankmlops.local.pipelines.files import StepFolder
from bankmlops.local.training.automl_runs import KIND, LOG
from bankmlops.local.training.mlflow_links import mlflow_links
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import Endpoint, PipelineRun, RunStatus, StepRun

LOG_LINES = 300
_LINE_CHARACTERS = 2000
_FRESH_SECONDS = 1.0
_KEPT = 64


class PipelineRuns(Protocol):
    """The runs of the engine in this process."""

    def read(self, run_id: str) -> PipelineRun:
        """One run. Raises `NotFoundError`."""

    def list(self) -> Sequence[PipelineRun]:
        """The newest runs, newest first."""


@dataclass(frozen=True, slots=True)
class PageSources:
    """Where the page's figures come from; `backend` is called when one is first asked for."""

    workspace: LocalWorkspace
    backend: Callable[[], Backend]
    runs: PipelineRuns


class Recent:
    """What was read less than a second ago, by its name; readers of one thing wait for one reading."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, tuple[float, bytes]] = {}
        self._reading: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, name: str, read: Callable[[], bytes]) -> bytes:
        """What is known under this name, read anew where that is old."""
        with self._lock:
            reading = self._reading.setdefault(name, threading.Lock())
        with reading:
            known = self._known.get(name)
            if known is None or self._clock() - known[0] > _FRESH_SECONDS:
                known = (self._clock(), read())
                self._keep(name, known)
        return known[1]

    def _keep(self, name: str, entry: tuple[float, bytes]) -> None:
        with self._lock:
            self._known.pop(name, None)
            self._known[name] = entry
            while len(self._known) > _KEPT:
                oldest = next(iter(self._known))
                del self._known[oldest]
                self._reading.pop(oldest, None)


class PageApi:
    """The readings behind the routes; each answers what JSON can hold."""

    def __init__(self, sources: PageSources) -> None:
        self._sources = sources

    def runs(self) -> object:
        """The newest pipeline runs, newest first."""
        return to_document(list(self._sources.runs.list()))

    def run(self, run_id: str) -> object:
        """One pipeline run, and how what its steps train stands."""
        run = self._sources.runs.read(run_id)
        return {"run": to_document(run), "training": {step.name: self._training(step) for step in run.steps if step.run_id}}

    def step_log(self, run_id: str, step: str) -> object:
        """The newest lines that a step wrote; `ended` where there will be no more."""
        run = self._sources.runs.read(run_id)
        found = next((each for each in run.steps if each.name == step), None)
        if found is None:
            raise NotFoundError(f"run {run_id} has no step {step!r}; its steps are {', '.join(each.name for each in run.steps)}")
        ended = found.status.is_final or run.status.is_final
        return {"lines": self._log(run_id, found), "ended": ended}

    def pipelines(self) -> object:
        """Every published pipeline, newest first."""
        return to_document(list(self._backend.list_published_pipelines()))

    def datasets(self) -> object:
        """The newest version of each dataset, by name."""
        return to_document(list(self._backend.list_datasets()))

    def automl_runs(self) -> object:
        """The newest AutoML runs, newest first."""
        return to_document(list(self._backend.list_runs()))

    def automl_run(self, run_id: str) -> object:
        """One AutoML run with its leaderboard, and where MLflow shows them."""
        run = self._backend.get_run(run_id)
        children = list(self._backend.list_children(run_id))
        links = mlflow_links(self._sources.workspace, run_id)
        return {"run": to_document(run), "children": to_document(children), "links": to_document(links)}

    def endpoints(self) -> object:
        """Every endpoint by name, with its traffic where it tells."""
        return [self._endpoint(endpoint) for endpoint in self._backend.list_endpoints()]

    def schedules(self) -> object:
        """Every schedule by name, with the moment of its next run."""
        return to_document(list(self._backend.list_schedules()))

    @property
    def _backend(self) -> Backend:
        return self._sources.backend()

    def _training(self, step: StepRun) -> Mapping[str, object] | None:
        try:
            run = self._backend.get_run(step.run_id)
            best = next(iter(self._backend.list_children(run.id)), None)
        except NotFoundError:
            return None
        score = run.metrics.get(run.primary_metric, best.score if best else math.nan)
        return {
            "id": run.id,
            "status": run.status,
            "primary_metric": run.primary_metric,
            "best": score,
            "best_algorithm": run.best_algorithm or (best.algorithm if best else ""),
            "progress": run.progress,
            "fraction": 1.0 if run.status is RunStatus.COMPLETED else run.fraction,
        }

    def _log(self, run_id: str, step: StepRun) -> Sequence[str]:
        """What the step said, then what the process said that trains for it."""
        workspace = self._sources.workspace
        said = last_lines(StepFolder(workspace, run_id, step.name).log, LOG_LINES)
        trained = last_lines(workspace.path_of(KIND, step.run_id) / LOG, LOG_LINES) if step.run_id else []
        return [line[:_LINE_CHARACTERS] for line in (*said, *trained)]

    @staticmethod
    def _endpoint(endpoint: Endpoint) -> object:
        traffic = read_traffic(endpoint.scoring_uri) if endpoint.scoring_uri else None
        document: Any = to_document(endpoint)
        return {**document, "traffic": traffic and to_document(traffic)}


def page_router(sources: PageSources) -> APIRouter:
    """The routes under `/page`."""
    api, recent, router = PageApi(sources), Recent(), APIRouter(prefix="/page")

    def add(path: str, reading: Callable[..., object]) -> None:
        def answer(request: Request) -> Response:
            body = recent.get(request.url.path, lambda: _encode(reading(**request.path_params)))
            return _answer(request, body)

        router.add_api_route(path, answer, methods=["GET"], response_model=None)

    add("/runs", api.runs)
    add("/runs/{run_id}", api.run)
    add("/runs/{run_id}/steps/{step}/log", api.step_log)
    add("/pipelines", api.pipelines)
    add("/datasets", api.datasets)
    add("/automl", api.automl_runs)
    add("/automl/{run_id}", api.automl_run)
    add("/endpoints", api.endpoints)
    add("/schedules", api.schedules)
    return router


def _answer(request: Request, body: bytes) -> Response:
    headers = {"ETag": etag_of(body), "Cache-Control": "no-store"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def _encode(document: object) -> bytes:
    return json.dumps(_finite(document), ensure_ascii=False, allow_nan=False).encode()


def _finite(document: object) -> object:
    """The document with null for the numbers that JSON lacks."""
    if isinstance(document, Mapping):
        return {name: _finite(value) for name, value in document.items()}
    if isinstance(document, list):
        return [_finite(value) for value in document]
    return None if isinstance(document, float) and not math.isfinite(document) else document
