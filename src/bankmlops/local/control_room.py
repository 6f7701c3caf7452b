"""Puts the control server of a workspace together: its stores, its guard, and the routers that stand behind it."""

from __future__ import annotations

import threading

from fastapi import FastAPI

from bankmlops.local.audit import AuditLog
from bankmlops.local.control_api import ControlApi, create_app
from bankmlops.local.control_files import ControlFiles
from bankmlops.local.control_guard import Doors
from bankmlops.local.control_identity import Authenticator
from bankmlops.local.control_session_api import session_router
from bankmlops.local.control_sessions import Sessions
from bankmlops.local.control_tokens import ControlTokens
from bankmlops.local.pipeline_endpoints import PipelineEndpoints
from bankmlops.local.pipeline_engine import PipelineEngine
from bankmlops.local.pipeline_store import PipelineStore
from bankmlops.local.published_api import published_router
from bankmlops.local.schedule_store import ScheduleStore
from bankmlops.local.scheduler import Scheduler
from bankmlops.local.triggers import Triggers
from bankmlops.local.workspace import LocalWorkspace


class ControlRoom:
    """What a control server consists of; once `leaving` is set, its guard lets nothing more in."""

    def __init__(self, workspace: LocalWorkspace, engine: PipelineEngine) -> None:
        self.leaving = threading.Event()
        audit = AuditLog(workspace)
        self.triggers = Triggers(PipelineStore(workspace), PipelineEndpoints(workspace), engine, audit)
        self.scheduler = Scheduler(ScheduleStore(workspace), self.triggers)
        sessions = Sessions()
        authenticator = Authenticator(ControlFiles(workspace).token(), ControlTokens(workspace), sessions)
        doors = Doors(authenticator, leaving=self.leaving)
        routers = [session_router(sessions), published_router(workspace)]
        self.app: FastAPI = create_app(ControlApi(engine, self.triggers, audit), doors, routers)
