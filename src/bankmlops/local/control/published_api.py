"""What is published and scheduled, read and switched over REST: what the page and other programs need besides the triggers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from fastapi import APIRouter, Request

from bankmlops.local.control.api import asker_of
from bankmlops.local.control.audit import AuditLog
from bankmlops.local.pipelines.documents import to_document
from bankmlops.local.pipelines.endpoints import PipelineEndpoints
from bankmlops.local.pipelines.schedule_store import ScheduleStore
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import Schedule


def published_router(workspace: LocalWorkspace) -> APIRouter:
    """GET wants the scope `read`; what switches something wants `admin`, and stands in the audit log."""
    schedules, endpoints, audit = ScheduleStore(workspace), PipelineEndpoints(workspace), AuditLog(workspace)
    router = APIRouter()

    def list_endpoints() -> object:
        return to_document(list(endpoints.list()))

    def get_endpoint(endpoint_id: str) -> object:
        return to_document(endpoints.get(endpoint_id))

    def list_schedules() -> object:
        return to_document(list(schedules.list()))

    def get_schedule(schedule_id: str) -> object:
        return to_document(schedules.get(schedule_id))

    def pause(schedule_id: str, request: Request) -> object:
        return noted("pause", schedules.pause(schedule_id), request)

    def resume(schedule_id: str, request: Request) -> object:
        return noted("resume", schedules.resume(schedule_id, datetime.now(UTC)), request)

    def noted(action: str, schedule: Schedule, request: Request) -> object:
        asker = asker_of(request)
        audit.record(asker.actor, action, f"schedule {schedule.config.name}", asker.origin)
        return to_document(schedule)

    _add(router, "GET", "/pipeline-endpoints", list_endpoints)
    _add(router, "GET", "/pipeline-endpoints/{endpoint_id}", get_endpoint)
    _add(router, "GET", "/schedules", list_schedules)
    _add(router, "GET", "/schedules/{schedule_id}", get_schedule)
    _add(router, "POST", "/schedules/{schedule_id}/pause", pause)
    _add(router, "POST", "/schedules/{schedule_id}/resume", resume)
    return router


def _add(router: APIRouter, method: str, path: str, operation: Callable[..., object]) -> None:
    router.add_api_route(path, operation, methods=[method], response_model=None)
