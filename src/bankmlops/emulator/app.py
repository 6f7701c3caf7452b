"""The ASGI application: one router a service, behind one door that checks who knocks.

A service's module has a `router`. It stands in `RESOURCE_MANAGER` or `MACHINE_LEARNING` (a bearer token for that audience is
checked before any of its routes) or in `OPEN` (it needs none, or checks for itself). A route gets at the state through
`wire.Workspace` or `wire.EmulatorState`. It is `async` where it is done in a moment, and so is spared the way through a thread.
"""

from __future__ import annotations

from collections.abc import Set

from starlette.requests import Request

from bankmlops.emulator import control
from bankmlops.emulator.automl import jasmine
from bankmlops.emulator.history import artifacts, metrics, metrics_v1, models, run_history
from bankmlops.emulator.instance import Emulator
from bankmlops.emulator.pipelines import pipeline_graphs, pipeline_runs, pipeline_sources, published_pipelines, schedules
from bankmlops.emulator.scripts import computes, environments, script_runs, snapshots
from bankmlops.emulator.sdk_v2 import data, jobs
from bankmlops.emulator.sdk_v2 import datastores as arm_datastores
from bankmlops.emulator.services import service_front, services
from bankmlops.emulator.storage import blob, datasets, datastores
from bankmlops.emulator.storage.blob_wire import answer_storage_error
from bankmlops.emulator.web import arm, auth, discovery, key_vault, tokens, unanswered
from bankmlops.emulator.web.door import Door
from bankmlops.emulator.web.errors import answer_error
from bankmlops.emulator.web.routing import Application, Endpoint, Router

OPEN: tuple[Router, ...] = (
    auth.router,
    arm.metadata_router,
    discovery.router,
    control.router,
    service_front.router,
)
RESOURCE_MANAGER: tuple[Router, ...] = (arm.router, computes.router, arm_datastores.router, data.router, jobs.router)
MACHINE_LEARNING: tuple[Router, ...] = (
    run_history.router,
    metrics.router,
    metrics_v1.router,
    artifacts.router,
    snapshots.router,
    datastores.router,
    datasets.router,
    environments.router,
    key_vault.router,
    jasmine.router,
    models.router,
    services.router,
    pipeline_graphs.router,
    pipeline_sources.router,
    pipeline_runs.router,
    published_pipelines.router,
    schedules.router,
    script_runs.router,
)
PROTECTED = (*RESOURCE_MANAGER, *MACHINE_LEARNING)


def create_app(emulator: Emulator) -> Door:
    """The whole emulator as one ASGI application: Azure's services, and blob storage under its own host names."""
    protected = [
        *(router.with_check(_token_for(tokens.MANAGEMENT)) for router in RESOURCE_MANAGER),
        *(router.with_check(_token_for(tokens.MACHINE_LEARNING)) for router in MACHINE_LEARNING),
    ]
    services = Application([*protected, *OPEN, unanswered.router], emulator, answer_error)
    storage = Application([blob.router, blob.otherwise], emulator, answer_storage_error)
    return Door(emulator, services, storage)


def _token_for(audiences: Set[str]) -> Endpoint:
    async def check(request: Request) -> None:
        tokens.verify(request.state.emulator, request.headers.get("authorization"), audiences)

    return check
