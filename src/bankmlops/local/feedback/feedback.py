"""Takes the true labels of an endpoint's requests, and refuses what can't be one: unknown, wrong, or against one before."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from bankmlops.errors import InvalidRequestError, NotFoundError
from bankmlops.features import FeatureSpecification
from bankmlops.features.text import shown, text_of
from bankmlops.local.feedback.store import FILE, KIND, MAXIMUM_LABELS, FeedbackStore, count_labels, find, put
from bankmlops.local.serving.endpoints import Endpoints
from bankmlops.local.training.models import Models
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import LabelledRow, Outcome, OutcomeReceipt, RefusedOutcome

MAXIMUM_OUTCOMES = 10_000
MAXIMUM_ROWS_READ = 10_000
_LONGEST_ID, _LONGEST_LABEL = 100, 200
_SHOWN = 20
_UNKNOWN = "the endpoint has collected no such row, or it was rotated away; `bankmlops up` keeps all after the first delivery"

Refusal = tuple[str, str]


class Feedback:
    """The labels of one workspace's endpoints."""

    def __init__(self, workspace: LocalWorkspace, endpoints: Endpoints, models: Models) -> None:
        self._workspace = workspace
        self._endpoints = endpoints
        self._classes = lru_cache(maxsize=100)(_classes_by(models))

    def record(self, name: str, outcomes: Sequence[Outcome]) -> OutcomeReceipt:
        """Store those that can be; all of these are on the disk when this returns.

        An outcome that came before counts once. Refused are a request that was not collected, a label that is none of the
        model's classes, and one that contradicts the label that the row has. Raises `NotFoundError` for an unknown endpoint, and
        `InvalidRequestError` for more than `MAXIMUM_OUTCOMES`.
        """
        if len(outcomes) > MAXIMUM_OUTCOMES:
            raise InvalidRequestError(f"{len(outcomes):,} outcomes at once; at most {MAXIMUM_OUTCOMES:,} would serve")
        store = self._store(name)
        receiver = _Receiver(self._classes)
        with store.writing() as connection:
            receiver.receive(connection, outcomes)
        return receiver.receipt()

    def labelled(self, name: str, after: int = 0, limit: int = MAXIMUM_ROWS_READ) -> Sequence[LabelledRow]:
        """Rows with their labels in the order of arrival, after the one of the number `after`. Raises `NotFoundError`."""
        path = self._path(name)
        if not path.exists():
            self._endpoints.collected_in(name)
            return ()
        return FeedbackStore(path).labelled(after, min(limit, MAXIMUM_ROWS_READ))

    def _store(self, name: str) -> FeedbackStore:
        """With all that the endpoint has collected by now."""
        folder = self._endpoints.collected_in(name)
        path = self._workspace.folder_of(KIND, name) / FILE
        store = FeedbackStore(path)
        with self._workspace.lock("feedback"):
            if not path.exists():
                store.create()
        store.take(folder)
        return store

    def _path(self, name: str) -> Path:
        return self._workspace.path_of(KIND, name) / FILE


class _Receiver:
    """Goes through outcomes one after the other, and keeps count."""

    def __init__(self, classes: Callable[[str], Sequence[str]]) -> None:
        self._classes = classes
        self._stored = self._repeated = self._refused = 0
        self._refusals: list[RefusedOutcome] = []

    def receive(self, connection: sqlite3.Connection, outcomes: Sequence[Outcome]) -> None:
        place = count_labels(connection)
        for index, written in enumerate(outcomes):
            found = find(connection, written) if _is_plain(written) else None
            outcome = replace(written, label=_class_of(written.label, self._classes(found[0]))) if found else written
            refusal = self._refusal(outcome, found, place)
            if refusal:
                self._refuse(index, *refusal)
            elif found and found[1] == outcome.label:
                self._repeated += 1
            else:
                place += 1
                put(connection, outcome, place)
                self._stored += 1

    def receipt(self) -> OutcomeReceipt:
        return OutcomeReceipt(self._stored, self._repeated, self._refused, tuple(self._refusals))

    def _refusal(self, outcome: Outcome, found: tuple[str, str | None] | None, count: int) -> Refusal | None:
        """Why it can't be stored; None where it can be, or is already."""
        if not _is_plain(outcome):
            return "BadRequest", f"a request id has 1 to {_LONGEST_ID} characters, a label at most {_LONGEST_LABEL}"
        where = f"request {shown(outcome.request_id)} row {outcome.row}"
        if found is None:
            return "NotFound", f"{where}: {_UNKNOWN}"
        model, label = found
        if outcome.label not in self._classes(model):
            return "BadRequest", f"{where}: label {shown(outcome.label)} is none of {', '.join(self._classes(model)[:10])}"
        if label is not None and label != outcome.label:
            return "Conflict", f"{where}: has the label {shown(label)} already, and {shown(outcome.label)} contradicts it"
        if label is None and count >= MAXIMUM_LABELS:
            return "Conflict", f"{where}: {MAXIMUM_LABELS:,} labels are kept for an endpoint, and no more"
        return None

    def _refuse(self, index: int, kind: str, reason: str) -> None:
        self._refused += 1
        if len(self._refusals) < _SHOWN:
            self._refusals.append(RefusedOutcome(index, kind, reason))


def _class_of(label: str, classes: Sequence[str]) -> str:
    """The class that training made of such a label in a file, of 01 perhaps 1; the label itself where classes are texts."""
    if label in classes:
        return label
    spelled = _as_read(label) or label
    return spelled if spelled in classes and all(_as_read(name) == name for name in classes) else label


def _as_read(text: str) -> str | None:
    """The text of the number or truth that a column of such labels is read as; None where it is read as text."""
    word = text.strip()
    if word.lower() in ("true", "false"):
        return word.capitalize()
    try:
        return text_of(float(word.replace(",", ".")))
    except ValueError:
        return None


def _is_plain(outcome: Outcome) -> bool:
    return 0 < len(outcome.request_id) <= _LONGEST_ID and len(outcome.label) <= _LONGEST_LABEL and 0 <= outcome.row < 2**31


def _classes_by(models: Models) -> Callable[[str], Sequence[str]]:
    """The classes of a model, which is named as the request log names it."""

    def classes(named: str) -> Sequence[str]:
        name, _, version = named.rpartition(":")
        try:
            path = models.bundle(models.get(name, version)) / "features.json"
            return FeatureSpecification.from_json(path.read_text(encoding="utf-8")).classes
        except (OSError, ValueError) as error:
            raise NotFoundError(f"model {named} has no readable bundle ({error}); its labels can't be checked") from error

    return classes
