"""Puts the control server of a workspace together: its stores, its guard, and the routers that stand behind it."""

from __future__ import annotations

import threading

from fastapi import FastAPI

from bankmlops.local.control.api import ControlApi, create_app
from bankmlops.local.control.audit import AuditLog
from bankmlops.local.control.files import ControlFiles
from bankmlops.local.control.guard import Doors
from bankmlops.local.control.identity import Authenticator
from bankmlops.local.control.published_api import published_router
from bankmlops.local.control.session_api import session_router
from bankmlops.local.control.sessions import Sessions
from bankmlops.local.control.tokens import ControlTokens
from bankmlops.local.pipelines.endpoints import PipelineEndpoints
from bankmlops.local.pipelines.engine import PipelineEngine
from bankmlops.local.pipelines.schedule_store import ScheduleStore
from bankmlops.local.pipelines.scheduler import Scheduler
from bankmlops.local.pipelines.store import PipelineStore
from bankmlops.local.pipelines.triggers import Triggers
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
