"""A worker: a process that takes pipeline steps from the engine's PostgreSQL, and carries them out or hands them back.

It has an executor id of its own and a heartbeat. SIGTERM or Ctrl-C drains it: it takes no more steps, has a while to finish
those it has, and hands back the rest, which go on elsewhere from their last recorded part. A second signal hands back at once.
A worker that was taken for dead (it was stopped, or cut off) ends as soon as it learns of it.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path

from bankmlops.backend import Backend
from bankmlops.errors import BackendUnavailableError, InvalidRequestError
from bankmlops.local.control.files import ControlFiles
from bankmlops.local.pipelines.database import EXAMPLE, PipelineDatabase, take_pipeline_database
from bankmlops.local.pipelines.worker_records import LEFT, Worker, WorkerRecords
from bankmlops.local.pipelines.worker_watch import BEAT_SECONDS
from bankmlops.local.workspace import LocalWorkspace

DRAIN_SECONDS = 10.0

logger = logging.getLogger("bankmlops.workers")


def run_worker(folder: Path, drain_seconds: float = DRAIN_SECONDS) -> None:
    """Take steps until a signal ends it; this call ends the process, with code 0 then, and 1 where it was taken for dead.

    Raises `InvalidRequestError` where the engine is not on PostgreSQL, `BackendUnavailableError` where that does not answer.
    """
    workspace = LocalWorkspace(folder)
    database = take_pipeline_database(ControlFiles(workspace).system_database)
    if not database.is_postgres:
        raise InvalidRequestError(
            f"a worker needs PostgreSQL, and on SQLite the control server carries out all steps; set {EXAMPLE}"
        )
    _Worker(workspace, database, drain_seconds).run()


class _Worker:
    def __init__(self, workspace: LocalWorkspace, database: PipelineDatabase, drain_seconds: float) -> None:
        self._workspace = workspace
        self._database = database
        self._drain_seconds = drain_seconds
        self._id = f"worker-{uuid.uuid4().hex[:12]}"
        self._records = WorkerRecords(database)
        self._signals = 0
        self._asked_to_end = threading.Event()

    def run(self) -> None:
        self._records.prepare()
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._heed_signal())
        self._records.join(Worker(self._id, socket.gethostname(), os.getpid()))
        self._take_steps()
        logger.info("%s takes steps from %s", self._id, self._database.name)
        self._asked_to_end.wait()
        logger.info("%s takes no more steps, and hands back what is not done in %.0f s", self._id, self._drain_seconds)
        self._drain()
        self._leave(0)

    def _take_steps(self) -> None:
        from bankmlops.local.pipelines.executor import Executor
        from bankmlops.local.pipelines.workflows import define_workflows

        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
        executor = Executor(self._database, self._id)
        define_workflows(self._workspace, _backend_of(self._workspace))
        executor.take_steps()

    def _beat(self) -> None:
        """Away databases are waited for; a row that says that it is lost is obeyed."""
        records = WorkerRecords(self._database)
        while True:
            try:
                if not records.beat(self._id):
                    logger.error("%s was taken for dead and its steps went to others; it ends", self._id)
                    _end_process(1)
            except BackendUnavailableError as error:
                logger.warning("%s has no heartbeat: %s", self._id, error)
            time.sleep(BEAT_SECONDS)

    def _drain(self) -> None:
        """DBOS stops to poll at once, and waits so long for the workflows that this process has."""
        from dbos import DBOS

        DBOS.destroy(workflow_completion_timeout_sec=round(self._drain_seconds))

    def _heed_signal(self) -> None:
        self._signals += 1
        self._asked_to_end.set()
        if self._signals > 1:
            self._leave(0)

    def _leave(self, code: int) -> None:
        """The row last: whoever reads there that it left takes over what it had, and so nothing may go on here."""
        records = WorkerRecords(self._database)
        try:
            records.end(self._id, LEFT)
        except BackendUnavailableError as error:
            logger.warning("%s could not take leave, so others find out by its silence: %s", self._id, error)
        _end_process(code)


def _backend_of(workspace: LocalWorkspace) -> Callable[[], Backend]:
    @cache
    def backend() -> Backend:
        from bankmlops.local.backend import LocalBackend

        return LocalBackend(workspace.folder)

    return backend


def _end_process(code: int) -> None:
    """At once: threads that wait for a training must not hold the process."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
