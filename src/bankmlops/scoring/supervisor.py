"""The process that is started: it holds the socket, keeps as many workers as it should, and switches them to another model.

Workers are forked after all is imported, so that one is there in a fraction of a second. They share one listening socket, so no
connection is lost between the old and the new when a model is switched. Nothing that a caller sends is read here.

The switch: `service.json` names another `model_folder`; workers for it are forked beside the old ones and try the model on its
input example; when all of them can serve they begin, and the old ones retire. Where one can't, nothing is switched, and
`ready.json` says why, until the file names another one. Where that happens at the start, the model before is served, if there
was one: an update that was killed must not keep the service from starting again.
"""

from __future__ import annotations

import gc
import logging
import signal
import socket
import time

from bankmlops.errors import ConflictError, InvalidRequestError
from bankmlops.scoring import listening
from bankmlops.scoring.crew import Crew
from bankmlops.scoring.ready_file import ReadyFile
from bankmlops.scoring.service import Service, ServiceFile
from bankmlops.scoring.signals import SignalInbox
from bankmlops.scoring.worker import Folders
from bankmlops.scoring.worker_process import Stage, WorkerProcess

_LOG = logging.getLogger("bankmlops.scoring")
_LOOK_SECONDS = 0.2
_SHORT_LIFE_SECONDS = 2.0
_FIRST_DELAY_SECONDS = 0.1
_LONGEST_DELAY_SECONDS = 5.0
_FORCE_SECONDS = 10.0
_RETIRE_SECONDS = 10.0
_PLACES_PER_WORKER = 16


def serve(folders: Folders, host: str, port: int) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises `InvalidRequestError` or `ConflictError` with one line where that can't begin."""
    service_file = ServiceFile(folders.service / "service.json")
    listener = listening.bind(host, port)
    ready_file = ReadyFile(folders.state / "ready.json", listening.port_of(listener))
    inbox = SignalInbox()
    crew = Crew(folders, service_file, listener, inbox, service_file.latest.workers * _PLACES_PER_WORKER)
    try:
        Supervisor(service_file, listener, ready_file, crew).run()
    finally:
        crew.kill()
        ready_file.remove()
        inbox.close()
    _LOG.info("stopped")


class Supervisor:
    """`_serving` is whose model is served, `_candidate` whose is being tried, `_refused` whose was found wanting, and why."""

    def __init__(self, service_file: ServiceFile, listener: socket.socket, ready_file: ReadyFile, crew: Crew) -> None:
        self._service_file = service_file
        self._listener = listener
        self._ready_file = ready_file
        self._crew = crew
        self._serving: Service | None = None
        self._candidate: Service | None = None
        self._refused: Service | None = None
        self._reason = ""
        self._is_announced = False
        self._replace_at: list[float] = []
        self._short_lives = 0
        self._force_at: float | None = None

    def run(self) -> None:
        """Until told to end. Raises `InvalidRequestError` or `ConflictError` where the first model can't be served."""
        gc.freeze()  # what is there now is shared with every worker, unless the collector writes on it
        self._try(self._service_file.latest)
        while self._force_at is None:
            self._turn()
            self._look_for_another_model()
            self._replace_the_dead()
        while list(self._crew) and time.monotonic() < self._force_at:
            self._turn()

    def _turn(self) -> None:
        signals = self._crew.wait(_LOOK_SECONDS)
        for worker, how in self._crew.take_dead():
            self._has_died(worker, how)
        if signal.SIGTERM in signals or signal.SIGINT in signals:
            self._end()
        elif self._force_at is None:
            self._let_begin()
            self._end_the_stuck()
            self._announce()

    # Another model

    def _look_for_another_model(self) -> None:
        wanted = self._service_file.replacement()
        if wanted is None or _same_model(wanted, self._refused):
            return
        self._forget_refusal()
        if not _same_model(wanted, self._candidate):
            self._dismiss_candidate()
            if not _same_model(wanted, self._serving):
                self._try(wanted)

    def _try(self, service: Service) -> None:
        self._candidate = service
        try:
            for _ in range(service.workers):
                self._crew.add(service)
        except ConflictError as error:
            self._refuse(str(error))

    def _let_begin(self) -> None:
        """Replacements begin one by one, a candidate's workers all together."""
        for worker in self._crew.of(self._serving):
            if worker.stage is Stage.ABLE:
                worker.begin()
        candidates = self._crew.of(self._candidate)
        if self._candidate and candidates and all(worker.stage is Stage.ABLE for worker in candidates):
            self._switch(self._candidate, candidates)

    def _switch(self, service: Service, workers: list[WorkerProcess]) -> None:
        before, self._serving, self._candidate = self._serving, service, None
        if before is None:
            listening.listen(self._listener)
        for worker in workers:
            worker.begin()
        for worker in self._crew.of(before):
            worker.retire()
        self._replace_at.clear()
        self._is_announced = False

    def _announce(self) -> None:
        """Say which model is served as soon as no other is: a connection that comes from now on gets to this one."""
        if (
            self._is_announced
            or self._serving is None
            or any(each.accepts for each in self._crew if each.service is not self._serving)
        ):
            return
        self._is_announced = True
        self._ready_file.write(self._serving, self._refused, self._reason)
        algorithms = [worker.algorithm for worker in self._crew.of(self._serving)]
        number = "" if len(algorithms) == 1 else f" with {len(algorithms)} workers"
        model, port = f"{self._serving.model} ({''.join(algorithms[:1])})", listening.port_of(self._listener)
        _LOG.info("%s serves model %s on port %d%s", self._serving.name, model, port, number)

    def _refuse(self, reason: str) -> None:
        refused = self._candidate
        self._dismiss_candidate()
        other = self._serving or (refused and refused.before)
        if refused is None or other is None:
            raise InvalidRequestError(f"{self._reason}; nor can the model before: {reason}" if self._refused else reason)
        self._refused, self._reason = refused, reason
        becomes = "goes on" if self._serving else "is tried instead"
        _LOG.error("model %s can't be served, and %s %s: %s", refused.model, other.model, becomes, reason)
        if self._serving:
            self._ready_file.write(self._serving, refused, reason)
        else:
            self._try(other)

    def _forget_refusal(self) -> None:
        """Another model is asked for; the same may be asked for again later, and whoever does must not find the old answer."""
        if self._refused:
            self._refused, self._reason = None, ""
            if self._serving and self._is_announced:
                self._ready_file.write(self._serving)

    def _dismiss_candidate(self) -> None:
        for worker in self._crew.of(self._candidate):
            worker.kill()
        self._candidate = None

    # The stuck and the dead

    def _end_the_stuck(self) -> None:
        """Who was told to leave its place to others, and has not even said that it does, hangs: nobody is to wait for it."""
        for worker in self._crew:
            if worker.accepts and worker.leaving_seconds > _RETIRE_SECONDS:
                _LOG.warning("worker %d is ended: it does not retire", worker.pid)
                worker.kill()

    def _has_died(self, worker: WorkerProcess, how: str) -> None:
        if worker.stage is Stage.LEAVING or self._force_at is not None:
            return
        if worker.service is self._candidate:
            self._refuse(how)
            return
        lived = time.monotonic() - worker.started
        self._short_lives = self._short_lives + 1 if lived < _SHORT_LIFE_SECONDS else 0
        delay = min(_FIRST_DELAY_SECONDS * 2**self._short_lives, _LONGEST_DELAY_SECONDS) if self._short_lives else 0.0
        self._replace_at.append(time.monotonic() + delay)
        _LOG.warning("worker %d is replaced: %s", worker.pid, how)

    def _replace_the_dead(self) -> None:
        if self._serving is None:
            return
        due = [moment for moment in self._replace_at if moment <= time.monotonic()]
        for moment in due:
            self._replace_at.remove(moment)
            try:
                self._crew.add(self._serving)
            except ConflictError as error:
                _LOG.warning("%s", error)
                self._replace_at.append(time.monotonic() + _LONGEST_DELAY_SECONDS)

    # The end

    def _end(self) -> None:
        """The first signal has the workers finish what they were asked, another one hurries them."""
        if self._force_at is None:
            self._listener.close()
            limits = (self._serving or self._service_file.latest).limits
            self._force_at = time.monotonic() + limits.linger_seconds + limits.drain_seconds + _FORCE_SECONDS
        for worker in self._crew:
            worker.end()


def _same_model(service: Service, other: Service | None) -> bool:
    return other is not None and service.model_folder == other.model_folder
