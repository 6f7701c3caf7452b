"""A worker's life: forked by the supervisor, it loads a model, tries it, waits for the word, and serves until it is told to end.

What it says to the supervisor, and hears, goes through a socket of the two: one line of JSON up when it is able to serve or knows
why not, one byte down when it may; another line up when it retires and accepts nobody any more.
"""

from __future__ import annotations

import gc
import json
import logging
import signal
import socket
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bankmlops.errors import BankMLOpsError, InvalidRequestError
from bankmlops.scoring import aside_work
from bankmlops.scoring.acceptor import PILE
from bankmlops.scoring.app import ScoringApp
from bankmlops.scoring.aside import Aside
from bankmlops.scoring.batches import Batches
from bankmlops.scoring.bundle import load_bundle
from bankmlops.scoring.collector import ModelDataCollector
from bankmlops.scoring.explainer import Explainer
from bankmlops.scoring.model import Scorer
from bankmlops.scoring.refusal import RefusedError
from bankmlops.scoring.server import RETIRE, ScoringServer
from bankmlops.scoring.service import Service, ServiceFile
from bankmlops.scoring.shared_metrics import SharedMetrics
from bankmlops.scoring.telemetry import RequestLog

GO = b"g"
_METHODS = ("predict", "predict_proba")
_LOG = logging.getLogger("bankmlops.scoring")


@dataclass(frozen=True, slots=True)
class Folders:
    """Where `service.json` is, where the model's bundle, and where `ready.json` and `telemetry.jsonl` are written."""

    service: Path
    model: Path
    state: Path

    def bundle(self, service: Service) -> Path:
        """The bundle that `service.json` names."""
        return self.model / service.model_folder


@dataclass(frozen=True, slots=True)
class Place:
    """What a worker has in common with the others: parent, listening socket, and the metrics, of which `number` is its own.

    `known` are the settings that `service.json` gave last, for whoever finds it broken.
    """

    parent: int
    listener: socket.socket
    metrics: SharedMetrics
    number: int
    known: Service


def run_worker(folders: Folders, service: Service, place: Place, supervisor: socket.socket) -> int:
    """Serve the model that `service` names; answers the process's exit code."""
    try:
        server, app = _prepare(folders, service, place, supervisor)
    except BankMLOpsError as error:
        _tell(supervisor, {"error": str(error)})
        return 1
    _tell(supervisor, {"algorithm": app.algorithm})
    gc.collect()
    gc.freeze()  # the model and all that was imported live as long as the worker: the collector need not look at them again
    try:
        if supervisor.recv(1) == GO:
            server.run(sockets=[])
    finally:
        place.metrics.publish(place.number, app.metrics_text())
        app.close()
    return 0


def try_example(scorer: Scorer) -> None:
    """Score the bundle's input example as a caller would, both ways. Raises `InvalidRequestError` where that fails."""
    example, classes = scorer.bundle.input_example, scorer.bundle.classes
    for method in _METHODS:
        try:
            (answer,) = scorer.score(json.dumps({"data": [example], "method": method}, default=str).encode()).result
        except RefusedError as error:
            raise InvalidRequestError(f"model.json: input_example can't be scored: {error.message}") from error
        fits = answer in classes if isinstance(answer, str) else len(answer) == len(classes)
        if not fits:
            raise InvalidRequestError(f"the answer to input_example is {answer!r}, and the classes are {', '.join(classes)}")


def _prepare(folders: Folders, service: Service, place: Place, supervisor: socket.socket) -> tuple[ScoringServer, ScoringApp]:
    service_file = ServiceFile(folders.service / "service.json", service, place.known)
    scorer = Scorer(load_bundle(folders.bundle(service)), service.limits.rows, service.unknown_categories)
    try_example(scorer)
    limits, sockets = service.limits, (place.listener, supervisor)
    scoring = Aside.start("large requests", partial(aside_work.score, scorer), *sockets)
    explain = partial(aside_work.explain, Explainer(scorer, limits))
    explaining = Aside.start("explanations", explain, *sockets, scoring.orders)
    collector = ModelDataCollector(folders.state / "collected.jsonl")
    app = ScoringApp(
        scorer,
        service_file,
        RequestLog(folders.state / "telemetry.jsonl"),
        collector,
        Batches(scoring, limits),
        Batches(explaining, limits),
    )
    app.gather = lambda own: place.metrics.gather(place.number, own)

    def publish() -> None:
        place.metrics.publish(place.number, app.metrics_text())

    pile = 0 if service.workers == 1 else min(PILE, limits.waiting_requests)
    server = ScoringServer(
        app, limits, place.listener, place.parent, publish, lambda: _tell(supervisor, {"retired": "yes"}), pile
    )
    signal.signal(RETIRE, server.handle_retirement)
    signal.signal(signal.SIGTERM, server.handle_exit)  # uvicorn would do it too, but the word to end may come before
    return server, app


def _tell(supervisor: socket.socket, document: dict[str, str]) -> None:
    try:
        supervisor.sendall(json.dumps(document).encode() + b"\n")
    except OSError as error:  # it has gone, and this process will follow it
        _LOG.debug("the supervisor can't be told: %s", error)
