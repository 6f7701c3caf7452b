"""This process as DBOS knows it: which database it works on, under which executor id, and from which queues it takes work.

The control server takes runs, and steps as well; a worker takes steps alone. DBOS hands the unfinished workflows of an executor
id to whoever launches with it, so each process has an id of its own, and there is one control server. The application version
is set by hand, since DBOS' own is a hash of the workflow's source that orphans unfinished runs when the source changes; it
counts up when what the workflows record changes its names or its order.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer
from dbos._error import DBOSException
from sqlalchemy.exc import SQLAlchemyError

from bankmlops.errors import BackendUnavailableError, ConflictError
from bankmlops.local.pipelines.database import PipelineDatabase, check_reachable, database_errors, prepare_file
from bankmlops.local.pipelines.recovery import Strays, recover_executor
from bankmlops.local.pipelines.worker_records import WorkerRecords
from bankmlops.local.pipelines.worker_watch import BEAT_SECONDS, WorkerWatch
from bankmlops.local.pipelines.workflows import RUN_QUEUE, STEP_QUEUE
from bankmlops.local.seldom import Seldom

CONTROL_SERVER = "control-server"
STEPS_VARIABLE = "BANKMLOPS_CONTROL_STEPS"
_VERSION = "2"
_CONCURRENT_RUNS = 2
_CONCURRENT_STEPS = 4
_QUEUE_SECONDS = 0.1
_CONNECTIONS = 10
_STRAY_SECONDS = 2.0
_CLAIM_SECONDS = 5.0
_SELDOM = Seldom(10.0)  # DBOS says ten times a second, at length, that a database is away

logger = logging.getLogger("bankmlops.pipelines")


class Executor:
    """One a process. Raises `BackendUnavailableError` where its database does not answer."""

    def __init__(self, database: PipelineDatabase, name: str = CONTROL_SERVER) -> None:
        check_reachable(database)
        prepare_file(database)
        self._database = database
        logging.getLogger("dbos").addFilter(_SELDOM)
        self._dbos = DBOS(config=_configuration(database, name))
        self._strays = Strays(self._dbos, name)
        self._watch: WorkerWatch | None = None
        self._stop = threading.Event()
        self._dbos.background_thread_stop_events.append(self._stop)

    def take_runs(self) -> None:
        """Take runs and, if `BANKMLOPS_CONTROL_STEPS` is not "off", steps; on PostgreSQL look after the workers too.

        Raises `ConflictError` where another control server has this PostgreSQL.
        """
        records = self._claim() if self._database.is_postgres else None
        if records is not None and os.environ.get(STEPS_VARIABLE) == "off":
            DBOS.listen_queues([RUN_QUEUE])
        self._launch()
        DBOS.register_queue(RUN_QUEUE, worker_concurrency=_CONCURRENT_RUNS, polling_interval_sec=_QUEUE_SECONDS)
        DBOS.register_queue(STEP_QUEUE, worker_concurrency=_CONCURRENT_STEPS, polling_interval_sec=_QUEUE_SECONDS)
        if records is not None:
            self._watch = WorkerWatch(records, recover_executor)
            self._look_again_and_again(self._watch.look, BEAT_SECONDS)

    def take_steps(self) -> None:
        """Take steps alone, as a worker does."""
        DBOS.listen_queues([STEP_QUEUE])
        self._launch()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise `BackendUnavailableError` for what the database refuses inside, and at once while PostgreSQL is known to be away.

        DBOS would wait for it, and so would whoever asks.
        """
        if self._watch is not None and self._watch.refusal is not None:
            raise BackendUnavailableError(str(self._watch.refusal))
        with database_errors(self._database):
            yield

    def _launch(self) -> None:
        with database_errors(self._database):
            DBOS.launch()
        self._look_again_and_again(self._strays.look, _STRAY_SECONDS)

    def _claim(self) -> WorkerRecords:
        """Be this database's only control server; one that was just killed has a moment to let go of it."""
        records = WorkerRecords(self._database)
        records.prepare()
        deadline = time.monotonic() + _CLAIM_SECONDS
        while not records.claim():
            if time.monotonic() > deadline:
                raise ConflictError(f"another control server works on {self._database.name}; stop it, or use another database")
            time.sleep(_QUEUE_SECONDS)
        return records

    def _look_again_and_again(self, look: Callable[[], object], seconds: float) -> None:
        """In a thread of its own, until DBOS is destroyed; what the database refuses is said once, and waited for."""

        def run() -> None:
            refused = False
            while not self._stop.wait(seconds):
                try:
                    look()
                    refused = False
                except (SQLAlchemyError, DBOSException, BackendUnavailableError) as error:
                    if not refused and not self._stop.is_set():
                        logger.warning("pipelines wait: %s", str(error).partition("\n")[0])
                    refused = True
                except ConflictError as error:
                    logger.error("%s; this one ends", error)
                    os.kill(os.getpid(), signal.SIGTERM)
                    return

        threading.Thread(target=run, name="pipeline-watch", daemon=True).start()


def _configuration(database: PipelineDatabase, name: str) -> DBOSConfig:
    return DBOSConfig(
        name="bankmlops",
        system_database_url=database.url,
        sys_db_pool_size=_CONNECTIONS if database.is_postgres else None,
        application_version=_VERSION,
        executor_id=name,
        serializer=DBOSPortableJSONSerializer(),
        log_level="WARNING",
    )
