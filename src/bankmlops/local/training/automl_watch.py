"""Ends a training from within where others ended its run: a cancel from another machine sees none of its processes."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

from bankmlops.errors import BackendUnavailableError
from bankmlops.local.processes import kill_family, own_identity
from bankmlops.local.training.automl_records import AutoMLRecords

_LOOK_SECONDS = 1.0
_LOG = logging.getLogger(__name__)


class RunWatch:
    """Looks once a second whether the run is still this process's to carry out; else it ends, with all that it started.

    A database that does not answer for a while ends nothing.
    """

    def __init__(self, records: AutoMLRecords, run_id: str, folder: Path) -> None:
        self._records = records
        self._run_id = run_id
        self._folder = folder
        self._identity = own_identity()
        self._over = threading.Event()
        self._has_told = False

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._look_again_and_again, name="run-watch", daemon=True).start()

    def stop(self) -> None:
        """Look no more: this process is about to write down itself how the run ended."""
        self._over.set()

    def _look_again_and_again(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            if self._is_taken_away() and not self._over.is_set():
                kill_family(self._folder)
                os._exit(0)

    def _is_taken_away(self) -> bool:
        """Ended by others, or resumed by others since."""
        try:
            record = self._records.read(self._run_id)
        except BackendUnavailableError:
            return False
        except Exception:
            if not self._has_told:
                _LOG.exception("whether run %s was ended by others can't be told", self._run_id)
            self._has_told = True
            return False
        known, own = record.process, self._identity
        return record.run.status.is_final or (known.pid > 0 and (known.pid, known.host) != (own.pid, own.host))
