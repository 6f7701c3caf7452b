"""The REST face of the control server: words of HTTP to calls on the engine and the store, and errors back to codes.

Other parts of the server join it as routers: a module that has `def NAME_router(...) -> APIRouter`, named in `room`.
What such a router need not do, since the guard did it before (`guard`): authenticate, check Host, Origin, scope and rate,
and bound the body. It finds its caller in `request.state.caller`. GET wants the scope `read`, `POST .../submit` of what is
published `trigger`, `POST /feedback` `feedback`, everything else `admin`. Data goes under paths of its own (`/runs`,
`/schedules`); under `/ui` stand the page's own files alone, which everybody on this machine may read. A page authenticates by a
session (`session_api`).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response

from bankmlops.errors import (
    BackendUnavailableError,
    BankMLOpsError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    RunFailedError,
)
from bankmlops.local.control.audit import AuditLog
from bankmlops.local.control.guard import RETRY_SECONDS, Doors, Guard, error_response
from bankmlops.local.pipelines.documents import from_document, to_document
from bankmlops.local.pipelines.engine import PipelineEngine
from bankmlops.local.pipelines.requests import RunRequest
from bankmlops.local.pipelines.triggers import Ask, Asker, Triggers, run_id_of
from bankmlops.types import PipelineRun

_STATUS_CODES: tuple[tuple[type[BankMLOpsError], int, str], ...] = (
    (NotFoundError, 404, "NotFound"),
    (ConflictError, 409, "Conflict"),
    (InvalidRequestError, 400, "BadRequest"),
    (RunFailedError, 409, "RunFailed"),
    (BackendUnavailableError, 503, "ServiceUnavailable"),
)
_HTTP_CODES = {400: "BadRequest", 404: "NotFound", 405: "MethodNotAllowed", 413: "RequestTooLarge", 415: "UnsupportedMediaType"}
_UNREADABLE = "There was an error parsing the body"  # FastAPI, of JSON that Python can't read: too deep, or a number too long
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_SDK = "SDK"
_LONGEST_AGENT = 100
_Name = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Value = (
    Annotated[StrictStr, Field(max_length=1000)] | StrictBool | StrictInt | Annotated[StrictFloat, Field(allow_inf_nan=False)]
)
_IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key")]
_Version = Annotated[str, Query(alias="pipelineVersion", max_length=20)]


class Submission(BaseModel):
    """The body of a trigger, in Azure ML's words. A field that says more than these is refused, not passed over."""

    model_config = ConfigDict(extra="forbid")
    ExperimentName: _Name | None = None
    ParameterAssignments: dict[_Name, _Value] = Field(default_factory=dict, max_length=100)
    RunSource: _Name | None = None
    Tags: dict[_Name, Annotated[str, Field(max_length=5000)]] = Field(default_factory=dict, max_length=50)


class Resubmission(BaseModel):
    """Which run to do again is in the path; `from_step` is the step from which on nothing is taken over."""

    model_config = ConfigDict(extra="forbid")
    from_step: Annotated[str, Field(max_length=64)] = ""


class Pruning(BaseModel):
    """Runs that ended as many days ago, or more."""

    model_config = ConfigDict(extra="forbid")
    days: Annotated[float, Field(ge=1, le=36500)]


class ControlApi:
    """The operations behind the routes on pipelines and runs."""

    def __init__(self, engine: PipelineEngine, triggers: Triggers, audit: AuditLog) -> None:
        self._engine = engine
        self._triggers = triggers
        self._audit = audit

    def healthy(self) -> Response:
        """Open to everybody: whether the server answers."""
        return PlainTextResponse("Healthy")

    def trigger(self, pipeline_id: str, body: Submission, request: Request, key: _IdempotencyKey = None) -> dict[str, object]:
        """Start a run of a published pipeline; the same idempotency key is the same run."""
        return self._start(pipeline_id, body, asker_of(request), _run_id(pipeline_id, key))

    def trigger_endpoint(
        self, endpoint_id: str, body: Submission, request: Request, key: _IdempotencyKey = None, version: _Version = ""
    ) -> dict[str, object]:
        """Start a run of the pipeline behind a pipeline endpoint: its default version, or the one asked for."""
        run_id = _run_id(endpoint_id, key)
        pipeline_id = self._triggers.pipeline_behind(endpoint_id, version, run_id)
        return self._start(pipeline_id, body, asker_of(request), run_id)

    def submit(self, document: dict[str, Any], request: Request) -> object:
        """Start a run of a pipeline that is not published; the body is a `RunRequest`."""
        asked = from_document(RunRequest, document)
        asked = replace(asked, pipeline_id="", run_source=asked.run_source or _SDK, resubmitted_from="", from_step="")
        run_id = str(uuid.uuid4())
        self._note(request, "submit", f"pipeline {asked.pipeline.name}", f"run {run_id}")
        return to_document(self._engine.start(run_id, asked))

    def get_run(self, run_id: str) -> object:
        """How a run stands."""
        return to_document(self._engine.read(run_id))

    def list_runs(self) -> object:
        """The newest runs."""
        return to_document(list[PipelineRun](self._engine.list()))

    def cancel_run(self, run_id: str, request: Request) -> object:
        """End a run and what it trains."""
        self._note(request, "cancel", f"run {run_id}")
        return to_document(self._engine.cancel(run_id))

    def resubmit_run(self, run_id: str, body: Resubmission, request: Request) -> object:
        """Run it again with the results of its finished steps."""
        self._note(request, "resubmit", f"run {run_id}", f"from {body.from_step}" if body.from_step else "")
        return to_document(self._engine.resubmit(run_id, body.from_step))

    def find_prunable(self, days: Annotated[float, Query(ge=1, le=36500)]) -> object:
        """The old runs that nobody needs."""
        return to_document(self._engine.find_prunable(_days_ago(days)))

    def prune(self, body: Pruning, request: Request) -> object:
        """Delete the old runs that nobody needs."""
        self._note(request, "prune", "pipeline runs", f"those that ended {body.days:g} days ago or before and that nobody needs")
        return to_document(self._engine.prune(_days_ago(body.days)))

    def _note(self, request: Request, action: str, subject: str, detail: str = "") -> None:
        asker = asker_of(request)
        self._audit.record(asker.actor, action, subject, asker.origin, detail)

    def _start(self, pipeline_id: str, body: Submission, asker: Asker, run_id: str) -> dict[str, object]:
        ask = Ask(body.ExperimentName or "", body.ParameterAssignments, body.RunSource or "", body.Tags)
        run = self._triggers.trigger(pipeline_id, ask, asker, run_id)
        return {
            "Id": run.id,
            "Status": run.status.value,
            "ExperimentName": run.experiment_name,
            "PipelineId": pipeline_id,
            "RunUrl": f"/runs/{run.id}",
        }


def create_app(api: ControlApi, doors: Doors, routers: Sequence[APIRouter] = ()) -> FastAPI:
    """The application behind its guard: the routes on pipelines and runs, and those of `routers`."""
    app = FastAPI(title="bankmlops control server", docs_url=None, redoc_url=None, openapi_url=None)
    _route(app, "GET", "/", api.healthy)
    _route(app, "POST", "/pipelines/{pipeline_id}/submit", api.trigger)
    _route(app, "POST", "/pipeline-endpoints/{endpoint_id}/submit", api.trigger_endpoint)
    _route(app, "POST", "/runs", api.submit)
    _route(app, "GET", "/runs", api.list_runs)
    _route(app, "GET", "/runs/{run_id}", api.get_run)
    _route(app, "GET", "/old-runs", api.find_prunable)
    _route(app, "POST", "/old-runs/prune", api.prune)
    _route(app, "POST", "/runs/{run_id}/cancel", api.cancel_run)
    _route(app, "POST", "/runs/{run_id}/resubmit", api.resubmit_run)
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(BankMLOpsError, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_bad_body)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(Exception, _answer_fault)
    app.add_middleware(Guard, doors=doors)
    return app


def asker_of(request: Request) -> Asker:
    """Who sent a request that the guard let through, for the audit log."""
    agent = "".join(letter for letter in request.headers.get("user-agent", "")[:_LONGEST_AGENT] if letter.isprintable())
    return Asker(request.state.caller.name, f"http {request.client.host if request.client else '-'} {agent}".rstrip())


def _route(app: FastAPI, method: str, path: str, operation: Callable[..., object]) -> None:
    app.add_api_route(path, operation, methods=[method], response_model=None)


def _days_ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def _run_id(thing_id: str, key: str | None) -> str:
    if key is None:
        return str(uuid.uuid4())
    if _KEY.fullmatch(key) is None:
        raise InvalidRequestError("Idempotency-Key: 1 to 255 printable ASCII characters without a space")
    return run_id_of(thing_id, key)


async def _answer_error(_request: Request, error: Exception) -> Response:
    status, code = next(((s, c) for kind, s, c in _STATUS_CODES if isinstance(error, kind)), (500, "InternalError"))
    response = error_response(status, code, str(error))
    if isinstance(error, BackendUnavailableError):
        response.headers["Retry-After"] = str(RETRY_SECONDS)
    return response


async def _answer_bad_body(_request: Request, error: Exception) -> Response:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    where = ".".join(str(part) for part in first.get("loc", ())[1:]) or "body"
    return error_response(400, "BadRequest", f"{where}: {first.get('msg', 'not valid')}; send a JSON object as application/json")


async def _answer_http_error(request: Request, error: Exception) -> Response:
    status, message = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, "the request failed")
    if status in (404, 405):
        message = f"{request.method} {request.url.path} is not served here"
    elif message == _UNREADABLE:
        message = "body: nested too deep, or a number too long; send a JSON object as application/json"
    return error_response(status, _HTTP_CODES.get(status, "BadRequest" if status < 500 else "InternalError"), message)


async def _answer_fault(_request: Request, _error: Exception) -> Response:
    return error_response(500, "InternalError", "the control server failed; its log (control.log) says why")
