"""The living workers: forked, listened to, and told apart from the dead. What becomes of them is for the supervisor to decide."""

from __future__ import annotations

import logging
import os
import select
import socket
from collections.abc import Iterator

from bankmlops.errors import ConflictError
from bankmlops.scoring.forked import how_it_ended, live
from bankmlops.scoring.service import Service, ServiceFile
from bankmlops.scoring.shared_metrics import SharedMetrics
from bankmlops.scoring.signals import SignalInbox
from bankmlops.scoring.worker import Folders, Place, run_worker
from bankmlops.scoring.worker_process import Stage, WorkerProcess

_LOG = logging.getLogger("bankmlops.scoring")


class Crew:
    """Workers of one listening socket, at most `places` of them at once."""

    def __init__(
        self, folders: Folders, service_file: ServiceFile, listener: socket.socket, inbox: SignalInbox, places: int
    ) -> None:
        self._folders = folders
        self._service_file = service_file
        self._listener = listener
        self._inbox = inbox
        self._metrics = SharedMetrics(places)
        self._workers: dict[int, WorkerProcess] = {}

    def __iter__(self) -> Iterator[WorkerProcess]:
        return iter(tuple(self._workers.values()))

    def of(self, service: Service | None) -> list[WorkerProcess]:
        """Those that serve, or are to serve, this service's model and were not told to go."""
        return [worker for worker in self if worker.service is service and worker.stage is not Stage.LEAVING]

    def add(self, service: Service) -> None:
        """Fork one more. Raises `ConflictError` where there are too many, or the system gives no process."""
        place = Place(os.getpid(), self._listener, self._metrics, self._metrics.take(), self._service_file.latest)
        ours, theirs = socket.socketpair()
        try:
            pid = self._fork(service, place, ours, theirs)
        except OSError as error:
            self._metrics.give_back(place.number)
            ours.close()
            raise ConflictError(f"no worker can be started: {error.strerror}") from error
        finally:
            theirs.close()
        self._workers[pid] = WorkerProcess(pid, service, place.number, ours)

    def wait(self, seconds: float) -> list[int]:
        """Until a signal or a worker's report comes, for a bounded time; answers the signals."""
        waiting = [worker for worker in self if not worker.has_reported]
        readable, _, _ = select.select([self._inbox, *waiting], [], [], seconds)
        for worker in waiting:
            if worker in readable:
                worker.read_report()
        return self._inbox.taken()

    def take_dead(self) -> Iterator[tuple[WorkerProcess, str]]:
        """Each worker that has ended since the last look, and in words how."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            worker = self._workers.pop(pid, None)  # the first process of a container gets children that are no workers
            if worker is not None:
                yield worker, self._bury(worker, status)

    def kill(self) -> None:
        """End all of them at once, and wait for it."""
        for worker in self:
            worker.kill()
        for worker in self:
            os.waitpid(worker.pid, 0)
        self._workers.clear()

    def _bury(self, worker: WorkerProcess, status: int) -> str:
        if not worker.has_reported:
            worker.read_report()
        worker.channel.close()
        self._metrics.give_back(worker.place)
        return worker.complaint or f"its worker ended {how_it_ended(status)}"

    def _fork(self, service: Service, place: Place, ours: socket.socket, theirs: socket.socket) -> int:
        with self._inbox.held():
            pid = os.fork()
            if pid == 0:
                self._close_in_child(ours)
                live(lambda: run_worker(self._folders, service, place, theirs))
        return pid

    def _close_in_child(self, ours: socket.socket) -> None:
        ours.close()
        for worker in self:
            worker.channel.close()
        self._inbox.forget()
