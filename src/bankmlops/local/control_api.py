"""The REST face of the control server: words of HTTP to calls on the engine and the store, and errors back to codes."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
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
from bankmlops.local.control_guard import Guard, error_response
from bankmlops.local.pipeline_documents import from_document, to_document
from bankmlops.local.pipeline_engine import PipelineEngine, RunRequest
from bankmlops.local.pipeline_store import ACTIVE, PipelineStore
from bankmlops.types import PipelineConfig, PipelineRun

_RETRY_SECONDS = "5"
_STATUS_CODES: tuple[tuple[type[BankMLOpsError], int, str], ...] = (
    (NotFoundError, 404, "NotFound"),
    (ConflictError, 409, "Conflict"),
    (InvalidRequestError, 400, "BadRequest"),
    (RunFailedError, 409, "RunFailed"),
    (BackendUnavailableError, 503, "ServiceUnavailable"),
)
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_Name = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
_IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key")]


class Submission(BaseModel):
    """The body of a trigger, in Azure ML's words; fields that Azure knows and this machine does not are let through."""

    ExperimentName: _Name | None = None
    ParameterAssignments: dict[_Name, Any] = Field(default_factory=dict, max_length=100)
    RunSource: _Name | None = None
    Tags: dict[_Name, Annotated[str, Field(max_length=5000)]] = Field(default_factory=dict, max_length=50)


class ControlApi:
    """The operations behind the routes."""

    def __init__(self, store: PipelineStore, engine: PipelineEngine) -> None:
        self._store = store
        self._engine = engine

    def healthy(self) -> Response:
        """Open to everybody: whether the server answers."""
        return PlainTextResponse("Healthy")

    def trigger(self, pipeline_id: str, body: Submission, idempotency_key: _IdempotencyKey = None) -> dict[str, object]:
        """Start a run of a published pipeline; the same idempotency key is the same run."""
        run_id = _run_id(pipeline_id, idempotency_key)
        run = self._engine.start(run_id, self._request(pipeline_id, body))
        return {
            "Id": run.id,
            "Status": run.status.value,
            "ExperimentName": run.experiment_name,
            "PipelineId": pipeline_id,
            "RunUrl": f"/runs/{run.id}",
        }

    def submit(self, document: dict[str, Any]) -> object:
        """Start a run of a pipeline that is not published."""
        config = from_document(PipelineConfig, document)
        request = RunRequest(config, config.automl.experiment_name)
        return to_document(self._engine.start(str(uuid.uuid4()), request))

    def get_run(self, run_id: str) -> object:
        """How a run stands."""
        return to_document(self._engine.read(run_id))

    def list_runs(self) -> object:
        """The newest runs."""
        return to_document(list[PipelineRun](self._engine.list()))

    def cancel_run(self, run_id: str) -> object:
        """End a run and what it trains."""
        return to_document(self._engine.cancel(run_id))

    def _request(self, pipeline_id: str, body: Submission) -> RunRequest:
        pipeline = self._store.get(pipeline_id)
        if pipeline.status != ACTIVE:
            raise ConflictError(f"pipeline {pipeline.name!r} version {pipeline.version!r} is disabled")
        if body.ParameterAssignments:
            unknown = ", ".join(sorted(body.ParameterAssignments))
            raise InvalidRequestError(f"ParameterAssignments: pipeline {pipeline.name!r} has no parameter {unknown}")
        automl = pipeline.config.automl
        experiment = body.ExperimentName or automl.experiment_name
        tagged = replace(automl, experiment_name=experiment, tags={**automl.tags, **body.Tags})
        return RunRequest(replace(pipeline.config, automl=tagged), experiment, pipeline_id, body.RunSource or "")


def create_app(store: PipelineStore, engine: PipelineEngine, token: str) -> FastAPI:
    """The application, guarded by the token."""
    api = ControlApi(store, engine)
    app = FastAPI(title="bankmlops control server", docs_url=None, redoc_url=None, openapi_url=None)
    _route(app, "GET", "/", api.healthy)
    _route(app, "POST", "/pipelines/{pipeline_id}/submit", api.trigger)
    _route(app, "POST", "/runs", api.submit)
    _route(app, "GET", "/runs", api.list_runs)
    _route(app, "GET", "/runs/{run_id}", api.get_run)
    _route(app, "POST", "/runs/{run_id}/cancel", api.cancel_run)
    app.add_exception_handler(BankMLOpsError, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_bad_body)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(Exception, _answer_fault)
    app.add_middleware(Guard, token=token)
    return app


def _route(app: FastAPI, method: str, path: str, operation: Callable[..., object]) -> None:
    app.add_api_route(path, operation, methods=[method], response_model=None)


def _run_id(pipeline_id: str, key: str | None) -> str:
    if key is None:
        return str(uuid.uuid4())
    if _KEY.fullmatch(key) is None:
        raise InvalidRequestError("Idempotency-Key: 1 to 255 printable ASCII characters without a space")
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:bankmlops:{pipeline_id}:{key}"))


async def _answer_error(_request: Request, error: Exception) -> Response:
    status, code = next(((s, c) for kind, s, c in _STATUS_CODES if isinstance(error, kind)), (500, "InternalError"))
    response = error_response(status, code, str(error))
    if isinstance(error, BackendUnavailableError):
        response.headers["Retry-After"] = _RETRY_SECONDS
    return response


async def _answer_bad_body(_request: Request, error: Exception) -> Response:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    where = ".".join(str(part) for part in first.get("loc", ())[1:]) or "body"
    return error_response(400, "BadRequest", f"{where}: {first.get('msg', 'not valid')}; send a JSON object as application/json")


async def _answer_http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = f"{request.method} {request.url.path} is not served here"
    return error_response(status, "NotFound" if status == 404 else "MethodNotAllowed", message)


async def _answer_fault(_request: Request, _error: Exception) -> Response:
    return error_response(500, "InternalError", "the control server failed; its log (control.log) says why")
