"""Finds workers that died and has their steps taken over. One runs in the control server where the engine is on PostgreSQL."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from bankmlops.errors import BackendUnavailableError, ConflictError
from bankmlops.local.pipelines.worker_records import ALIVE, LOST, Worker, WorkerRecords

BEAT_SECONDS = 1.0
SILENT_SECONDS = 5.0
_KEPT_SECONDS = 60.0
_LONGEST_GAP_SECONDS = 3.0

logger = logging.getLogger("bankmlops.workers")


@dataclass(frozen=True, slots=True)
class _Observation:
    beats: int
    since: float


class WorkerWatch:
    """Takes a worker for lost whose heartbeat stood still for `SILENT_SECONDS` of its own watching, and has its steps taken over.

    Clocks of different machines are not compared, and time in which the database was away, or this process was stopped, does not
    count: then nobody could tell a heartbeat, or see one.
    """

    def __init__(
        self, records: WorkerRecords, recover: Callable[[str], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._records = records
        self._recover = recover
        self._clock = clock
        self._observed: dict[str, _Observation] = {}
        self._last_look = clock()
        self.refusal: BackendUnavailableError | None = None

    def look(self) -> None:
        """Look once at all workers; raises `BackendUnavailableError`, which stays in `refusal` until a look goes well.

        Raises `ConflictError` where another control server does so too.
        """
        try:
            self._claim()
            workers = self._records.list()
            self.refusal = None
        except BackendUnavailableError as error:
            self._observed.clear()
            self.refusal = error
            raise
        now = self._clock()
        if now - self._last_look > _LONGEST_GAP_SECONDS:
            self._observed.clear()
        for worker in workers:
            self._judge(worker, now)
        self._last_look = self._clock() if self._clock() - now < _LONGEST_GAP_SECONDS else now

    def _claim(self) -> None:
        """A claim ends with its connection, so each look makes sure of it."""
        if not self._records.claim():
            raise ConflictError("another control server watches the workers of this database")

    def _judge(self, worker: Worker, now: float) -> None:
        if worker.status == ALIVE and self._is_silent(worker, now):
            self._records.end(worker.executor_id, LOST)
            logger.warning("%s on %s (process %d) is lost: no heartbeat", worker.executor_id, worker.host, worker.pid)
            self._take_over(worker)
        elif worker.status != ALIVE:
            self._observed.pop(worker.executor_id, None)
            if self._take_over(worker) == 0 and worker.silent_seconds > _KEPT_SECONDS:
                self._records.forget(worker.executor_id)

    def _is_silent(self, worker: Worker, now: float) -> bool:
        seen = self._observed.get(worker.executor_id)
        if seen is None or seen.beats != worker.beats:
            self._observed[worker.executor_id] = _Observation(worker.beats, now)
            return False
        return now - seen.since >= SILENT_SECONDS

    def _take_over(self, worker: Worker) -> int:
        """After its end is written down: a worker that lives on despite it finds that out, and takes nothing more."""
        steps = self._recover(worker.executor_id)
        if steps:
            logger.warning("%d steps of %s, which is gone, go to others", steps, worker.executor_id)
        return steps
