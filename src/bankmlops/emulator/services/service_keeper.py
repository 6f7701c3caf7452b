"""Sees to it that what is to be served is served: starts processes, watches them, restarts what died, ends what is not wanted."""

from __future__ import annotations

import logging
import time

from bankmlops.emulator.instance import Emulator
from bankmlops.emulator.services import deployments, service_log
from bankmlops.emulator.services.deployments import Wanted, wanted_services
from bankmlops.emulator.services.service_process import ServiceProcess
from bankmlops.errors import BankMLOpsError

START_SECONDS = 300.0
MAXIMUM_RESTARTS = 5
_LOG = logging.getLogger(__name__)


class ServiceKeeper:
    """The processes of one emulator's services. Used by one thread, which lives as long as the emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._processes: dict[tuple[str, str, str, str], ServiceProcess] = {}
        self._restarts: dict[str, int] = {}

    def advance(self) -> None:
        """Take every service one step further."""
        wanted = {_place(each): each for each in wanted_services(self._emulator)}
        for place, process in list(self._processes.items()):
            if place not in wanted or wanted[place].generation != process.generation:
                del self._processes[place]
                process.stop()
        for each in wanted.values():
            self._look_after(each)

    def stop(self) -> None:
        """End every process; the services come back with the next start."""
        for process in self._processes.values():
            process.stop()
        self._processes.clear()

    def _look_after(self, wanted: Wanted) -> None:
        process = self._processes.get(_place(wanted))
        if process is None:
            self._start(wanted)
        elif process.has_ended:
            self._has_died(wanted, process)
        elif not process.is_healthy and process.answers():
            process.is_healthy = True
            deployments.show_healthy(wanted.workspace_state(self._emulator), wanted, process.port)
        elif not process.is_healthy and time.monotonic() - process.started > START_SECONDS:
            self._give_up(wanted, f"it was not healthy within {START_SECONDS:.0f} s")

    def _start(self, wanted: Wanted) -> None:
        workspace = wanted.workspace_state(self._emulator)
        service = workspace.documents.get("service", wanted.name)
        if service is None:
            return
        deployments.show_starting(workspace, wanted)
        try:
            self._processes[_place(wanted)] = ServiceProcess(workspace, service, wanted.generation)
        except BankMLOpsError as error:
            self._give_up(wanted, str(error))
        except OSError as error:
            _LOG.exception("service %s could not be started", wanted.name)
            self._give_up(wanted, f"the process could not be started: {error.strerror}")
        except Exception as error:
            self._give_up(wanted, f"the emulator met an error of its own: {type(error).__name__}: {error}")
            raise

    def _has_died(self, wanted: Wanted, process: ServiceProcess) -> None:
        reason = process.complaint()
        restarts = self._restarts.get(wanted.generation, 0)
        if not process.is_healthy or restarts >= MAXIMUM_RESTARTS:
            self._give_up(wanted, reason)
            return
        workspace = wanted.workspace_state(self._emulator)
        service_log.append(process.log, service_log.stamped(f"the service's process has died and is restarted: {reason}"))
        self._restarts[wanted.generation] = restarts + 1
        self._drop(wanted)
        deployments.show_unhealthy(workspace, wanted)

    def _give_up(self, wanted: Wanted, reason: str) -> None:
        workspace = wanted.workspace_state(self._emulator)
        self._drop(wanted)
        log = deployments.log_of(workspace, wanted.name)
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        service_log.append(log, service_log.stamped(f"the service has failed: {reason}"))
        deployments.show_failed(workspace, wanted, reason)

    def _drop(self, wanted: Wanted) -> None:
        process = self._processes.pop(_place(wanted), None)
        if process is not None:
            process.stop()


def _place(wanted: Wanted) -> tuple[str, str, str, str]:
    return (wanted.subscription_id, wanted.resource_group, wanted.workspace, wanted.name)
