"""What goes on without a request: AutoML runs and pipelines are carried out, services kept alive, scripts run, models fitted.

Four threads look at what is written down and take it further. Nothing is kept in memory alone, so after a crash they go on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from bankmlops.emulator.automl import automl_bridge
from bankmlops.emulator.automl.trial_model_keeper import TrialModelKeeper
from bankmlops.emulator.instance import Emulator
from bankmlops.emulator.pipelines import pipeline_bridge, schedules
from bankmlops.emulator.scripts.script_keeper import ScriptKeeper
from bankmlops.emulator.services.service_keeper import ServiceKeeper

POLL_SECONDS = 0.25
STOP_SECONDS = 60.0
_LOG = logging.getLogger(__name__)


class Background:
    """The four threads of one emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._stopping = threading.Event()
        self._keeper = ServiceKeeper(emulator)
        self._scripts = ScriptKeeper(emulator)
        self._models = TrialModelKeeper(emulator)
        self._threads = [
            threading.Thread(target=self._repeat, args=(self._carry_out,), name="emulator-runs", daemon=True),
            # The kernel ends a process with the thread that started it: the next three live as long as the emulator.
            threading.Thread(target=self._repeat, args=(self._keeper.advance,), name="emulator-services", daemon=True),
            threading.Thread(target=self._repeat, args=(self._scripts.advance,), name="emulator-scripts", daemon=True),
            threading.Thread(target=self._repeat, args=(self._models.advance,), name="emulator-models", daemon=True),
        ]

    def start(self) -> None:
        """Begin, and take up what an earlier process left unfinished."""
        self._emulator.is_at_work = True
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End every process that was started here. Unfinished runs begin anew, and services come back, with the next start."""
        self._emulator.is_at_work = False
        self._stopping.set()
        for thread in self._threads:
            thread.join(STOP_SECONDS)
        self._keeper.stop()
        self._scripts.stop()
        automl_bridge.interrupt(self._emulator)

    def _carry_out(self) -> None:
        schedules.advance(self._emulator)
        pipeline_bridge.advance(self._emulator)
        automl_bridge.advance(self._emulator)
        self._emulator.store.checkpoint()

    def _repeat(self, advance: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            try:
                advance()
            except Exception:
                _LOG.exception("the emulator's background work met an error, and goes on")
            self._stopping.wait(POLL_SECONDS)


def start(emulator: Emulator) -> Background:
    """Begin the background work of an emulator that listens already; `stop` it before the emulator is closed."""
    background = Background(emulator)
    background.start()
    return background
