"""Schedules on the wire, and their clock: a recurrence starts a published pipeline while the emulator runs."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from bankmlops.emulator.instance import Emulator, WorkspaceState
from bankmlops.emulator.pipelines.pipeline_graphs import entity, find_interface
from bankmlops.emulator.pipelines.pipeline_values import values_of
from bankmlops.emulator.pipelines.published_pipelines import (
    ACTIVE,
    checked_status,
    endpoint_pipeline,
    find_pipeline,
    start_pipeline,
)
from bankmlops.emulator.pipelines.recurrence import check_recurrence, next_time
from bankmlops.emulator.state import Document, Documents
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import WS, JsonBody, Workspace, now
from bankmlops.errors import BankMLOpsError, InvalidRequestError, NotFoundError

router = Router(prefix="/pipelines/v1.0" + WS + "/Schedules")

_CLOCK = "schedule_clock"
_RECURRENCE = ("0", "Recurrence")
_PROVISIONED = "0"
_LOG = logging.getLogger(__name__)


@router.post("/Create")
def create(workspace: Workspace, body: JsonBody) -> Document:
    """A schedule; one without a start time fires at once. 400 for one that waits for a datastore to change."""
    schedule = {**entity({}), **_checked(workspace, body), "ProvisioningStatus": _PROVISIONED}
    _check_values(workspace, schedule)
    workspace.documents.put("schedule", schedule["Id"], schedule)
    first = None if (schedule["Recurrence"] or {}).get("StartTime") else datetime.now(UTC)
    _set_clock(workspace, schedule, first or _next(schedule))
    return schedule


@router.get("")
def list_schedules(workspace: Workspace, activeOnly: bool = True) -> list[Document]:  # noqa: N803 - the wire's own word
    """The schedules."""
    return [each for each in workspace.documents.find("schedule") if not activeOnly or each["EntityStatus"] == ACTIVE]


@router.get("/Pipeline/{pipeline_id}")
def list_of_pipeline(workspace: Workspace, pipeline_id: str) -> list[Document]:
    """The schedules of a published pipeline."""
    return [each for each in workspace.documents.find("schedule") if each["PipelineId"] == pipeline_id]


@router.get("/PipelineEndpoint/{endpoint_id}")
def list_of_endpoint(workspace: Workspace, endpoint_id: str) -> list[Document]:
    """The schedules of a pipeline endpoint."""
    return [each for each in workspace.documents.find("schedule") if each["PipelineEndpointId"] == endpoint_id]


@router.get("/{schedule_id}")
def get(workspace: Workspace, schedule_id: str) -> Document:
    """One schedule."""
    return _existing(workspace, schedule_id)


@router.put("/{schedule_id}")
def update(workspace: Workspace, schedule_id: str, body: JsonBody) -> Document:
    """Another status, recurrence, name or submission."""
    known = _existing(workspace, schedule_id)
    changes = _checked(workspace, {**known, **{key: value for key, value in body.items() if value is not None}})
    schedule = {**known, **changes, "EntityStatus": checked_status(body.get("EntityStatus", ACTIVE)), "LastModifiedDate": now()}
    if schedule["EntityStatus"] == ACTIVE:
        _check_values(workspace, schedule)
    workspace.documents.put("schedule", schedule_id, schedule)
    _set_clock(workspace, schedule, _next(schedule))
    return schedule


def advance(emulator: Emulator) -> None:
    """Start what is due. What was due while no emulator ran is made up for once."""
    moment = datetime.now(UTC)
    for clock in Documents(emulator.store, "").find(_CLOCK):
        if datetime.fromisoformat(clock["due"]) > moment:
            continue
        workspace = emulator.workspace(clock["subscription_id"], clock["resource_group"], clock["workspace"])
        schedule = workspace.documents.get("schedule", clock["id"])
        if schedule is not None:
            _set_clock(workspace, schedule, _next(schedule))
            _fire(workspace, schedule)


def _fire(workspace: WorkspaceState, schedule: Document) -> None:
    submission = {**(schedule["PipelineSubmissionInfo"] or {}), "ScheduleId": schedule["Id"], "RunType": "Schedule"}
    try:
        start_pipeline(workspace, _pipeline_id(workspace, schedule), submission)
    except BankMLOpsError as error:
        _LOG.warning("schedule %s could not start its pipeline: %s", schedule["Name"], error)


def _checked(workspace: WorkspaceState, body: Document) -> dict[str, Any]:
    if str(body.get("ScheduleType", "0")) not in _RECURRENCE:
        raise InvalidRequestError("schedules that wait for a datastore to change are not emulated; give a recurrence")
    check_recurrence(body.get("Recurrence") or {})
    submission = body.get("PipelineSubmissionInfo") or {}
    if not submission.get("ExperimentName"):
        raise InvalidRequestError("ExperimentName is missing: name the experiment that the scheduled runs belong to")
    if body.get("PipelineId"):
        find_pipeline(workspace, body["PipelineId"])
    else:
        endpoint_pipeline(workspace, str(body.get("PipelineEndpointId") or ""))
    names = ("Name", "PipelineId", "PipelineEndpointId", "Recurrence")
    return {
        **{name: body.get(name) for name in names},
        "PipelineSubmissionInfo": submission,
        "ScheduleType": "0",
        "DataStoreTriggerInfo": None,
    }


def _check_values(workspace: WorkspaceState, schedule: Document) -> None:
    """Raise `InvalidRequestError` for values that no run could begin with; a schedule that is to be disabled may have them."""
    pipeline = find_pipeline(workspace, _pipeline_id(workspace, schedule))
    values_of(workspace, find_interface(workspace, pipeline["GraphId"]), schedule["PipelineSubmissionInfo"])


def _pipeline_id(workspace: WorkspaceState, schedule: Document) -> str:
    return str(schedule["PipelineId"] or endpoint_pipeline(workspace, schedule["PipelineEndpointId"]))


def _existing(workspace: WorkspaceState, schedule_id: str) -> Document:
    schedule = workspace.documents.get("schedule", schedule_id)
    if schedule is None:
        raise NotFoundError(f"schedule {schedule_id} is not in workspace {workspace.name}")
    return schedule


def _next(schedule: Document) -> datetime:
    return next_time(schedule["Recurrence"], datetime.fromisoformat(schedule["CreatedDate"]), datetime.now(UTC))


def _set_clock(workspace: WorkspaceState, schedule: Document, due: datetime) -> None:
    documents = Documents(workspace.emulator.store, "")
    if schedule["EntityStatus"] != ACTIVE:
        documents.delete(_CLOCK, schedule["Id"])
        return
    clock = {
        "id": schedule["Id"],
        "due": due.isoformat(),
        "subscription_id": workspace.subscription_id,
        "resource_group": workspace.resource_group,
        "workspace": workspace.name,
    }
    documents.put(_CLOCK, schedule["Id"], clock)
