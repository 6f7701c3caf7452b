"""The loop: predict rows as they come, score and learn their labels as these arrive, and let three policies do it side by side.

The champion stays as it is; the periodic policy is trained anew on the newest labels now and then; the challenger takes every
label. A row is predicted by what each had learnt from labels that had arrived by then; its own label is learnt after that, also
where both have the same time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy

from bankmlops.datasets.progress import Progress, silent
from bankmlops.errors import ConflictError, InvalidRequestError
from bankmlops.features import FeatureSpecification, encode_labels, fit, matrix_from_columns
from bankmlops.online.champion import OWN_CHAMPION, may_follow
from bankmlops.online.checkpoint import Checkpoint, load, save
from bankmlops.online.learner import OnlineLearner
from bankmlops.online.scores import CHALLENGER, CHAMPION, PERIODIC, POLICIES
from bankmlops.online.served import ServedModel
from bankmlops.online.stream import Columns, Stream

Array = numpy.ndarray[Any, Any]

# Trains on the columns, label included, and answers the folder of the model's bundle, which is the given one or another.
Retrain = Callable[[Columns, Path], Path]

BLOCK_ROWS = 200
SPECIFICATION = "features.json"
LEAST_WARM_UP = 100
_CHECKPOINT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class OnlineSettings:
    """The first `warm_up` labels start every policy and are not scored; `window` labels are what a retraining takes, each time
    that `retrain_every` more have arrived (0: never). `champion` is the NAME:VERSION of the model to beat; "" is one of the
    warm-up."""

    warm_up: int = 3000
    retrain_every: int = 5000
    window: int = 5000
    seed: int = 42
    champion: str = ""


class OnlineLoop:
    """One stream and its three policies; what it has done is in `folder`."""

    def __init__(
        self, stream: Stream, settings: OnlineSettings, folder: Path, retrain: Retrain, champion: Path | None = None
    ) -> None:
        """`champion` is the bundle of the model to beat, `settings.champion`, which the periodic policy starts from as well;
        without one it is what `retrain` makes of the warm-up rows. Work against the version before it goes on: every row that is
        still to be predicted is this one's.

        Raises `InvalidRequestError` for a stream or settings that can't serve, and `ConflictError` where the folder holds another
        stream's work, or that against a champion whose place this one does not take.
        """
        self.specification = check_start(stream, settings, champion)
        self.stream = stream
        self.settings = settings
        self._folder = folder
        self._retrain = retrain
        self._order = stream.arrival_order
        self._at = self._resumed(champion) or self._begun(champion)
        self._learner = OnlineLearner.from_state(self._at.learner)
        self._champion = ServedModel(folder / self._at.champion)
        self._periodic = ServedModel(folder / self._at.periodic)
        self._labels = encode_labels(self.specification, stream.labels[self._order])
        self._saved = time.monotonic()

    @property
    def scored(self) -> Array:
        """int64 [scored]: the rows whose labels have arrived after the warm-up, in that order."""
        rows = self._order[self.settings.warm_up : self._at.learnt]
        return numpy.asarray(rows[~numpy.isnan(self._at.predictions[0, rows])])

    @property
    def scored_labels(self) -> Array:
        """int64 [scored]: their labels, 0 or 1."""
        return encode_labels(self.specification, self.stream.labels[self.scored])

    @property
    def predictions(self) -> Array:
        """float64 [policies, scored]: what `POLICIES` had answered, as the probability of the second class."""
        return self._at.predictions[:, self.scored]

    @property
    def compared(self) -> Array:
        """bool [scored]: whether the present champion predicted the row."""
        return numpy.asarray(self.scored >= max(self._at.new_champions, default=0))

    @property
    def new_champions(self) -> tuple[int, ...]:
        """After how many scored labels there was a new champion."""
        return tuple(int((self.scored < row).sum()) for row in self._at.new_champions)

    @property
    def fingerprint(self) -> str:
        """Of the stream, as it is known now."""
        return self._at.fingerprint

    def newest_window(self) -> Columns:
        """The rows that the next retraining would take, label included."""
        return self.stream.take(self._order[max(self._at.learnt - self.settings.window, 0) : self._at.learnt])

    @property
    def retrained(self) -> tuple[int, ...]:
        """After how many labels there was a new periodic model."""
        return tuple(self._at.retrained)

    @property
    def learner(self) -> OnlineLearner:
        """The challenger as it is now."""
        return self._learner

    def run(self, on_progress: Progress = silent) -> None:
        """Go through the stream from where the last checkpoint was; one that is through changes nothing.

        `on_progress` takes the rows that are done and how many there are.
        """
        total = self.stream.rows
        while self._at.row < total:
            self._predict(min(self._at.row + BLOCK_ROWS, total))
            self._learn(self._due())
            on_progress(self._at.row, total)
            self._save_now_and_then()
        while self._at.learnt < len(self._order):
            self._learn(min(self._at.learnt + BLOCK_ROWS, len(self._order)))
            self._save_now_and_then()
        self._save()

    def _predict(self, end: int) -> None:
        rows = slice(self._at.row, end)
        columns = {name: array[rows] for name, array in self.stream.columns.items()}
        positive = self.specification.classes[1]
        answers = {
            CHAMPION: self._champion.predict(columns, positive),
            PERIODIC: self._periodic.predict(columns, positive),
            CHALLENGER: self._learner.predict(matrix_from_columns(self.specification, columns)),
        }
        for number, policy in enumerate(POLICIES):
            self._at.predictions[number, rows] = answers[policy]
        self._at.row = end

    def _due(self) -> int:
        """How many labels had arrived by the last predicted row, none of them that of a row which is still to be predicted."""
        clock = self.stream.times[self._at.row - 1]
        arrived = int(numpy.searchsorted(self.stream.arrivals[self._order], clock, side="right"))
        ahead = numpy.flatnonzero(self._order[self._at.learnt : arrived] >= self._at.row)
        return self._at.learnt + int(ahead[0]) if ahead.size else arrived

    def _learn(self, end: int) -> None:
        """Take the labels up to number `end` in their order of arrival; those of the warm-up were taken before."""
        begin = self._at.learnt
        if end <= begin:
            return
        rows = self._order[begin:end]
        self._learner.learn(matrix_from_columns(self.specification, self.stream.take(rows)), self._labels[begin:end])
        self._at.learnt = end
        since = end - (self._at.retrained[-1] if self._at.retrained else self.settings.warm_up)
        if self.settings.retrain_every and since >= self.settings.retrain_every:
            self._train_anew(end)

    def _train_anew(self, end: int) -> None:
        bundle = self._retrain(self.newest_window(), self._folder / f"periodic-{end}")
        self._periodic = ServedModel(bundle)
        self._at.periodic = str(bundle.absolute())
        self._at.retrained.append(end)
        self._save()

    def _save_now_and_then(self) -> None:
        if time.monotonic() - self._saved > _CHECKPOINT_SECONDS:
            self._save()

    def _save(self) -> None:
        self._at.learner = self._learner.state()
        save(self._folder, self._at)
        self._saved = time.monotonic()

    def _begun(self, champion: Path | None) -> Checkpoint:
        warm_up = self._order[: self.settings.warm_up]
        columns = self.stream.take(warm_up)
        labels = encode_labels(self.specification, columns[self.stream.label_column])
        learner = OnlineLearner.warmed_up(matrix_from_columns(self.specification, columns), labels, self.settings.seed)
        static = champion or self._retrain(columns, self._folder / "periodic-0")
        _check_classes(ServedModel(static), self.specification)
        predictions = numpy.full((len(POLICIES), self.stream.rows), numpy.nan)
        begun = Checkpoint(
            fingerprint=self.stream.fingerprint(self.stream.rows),
            settings=self._settings,
            row=self._first_row(warm_up),
            learnt=self.settings.warm_up,
            predictions=predictions,
            champion=str(static.absolute()),
            periodic=str(static.absolute()),
            learner=learner.state(),
        )
        save(self._folder, begun)
        return begun

    def _first_row(self, warm_up: Array) -> int:
        """The first row that came when the warm-up's last label was there; earlier rows could not have been predicted."""
        return int(numpy.searchsorted(self.stream.times, self.stream.arrivals[warm_up[-1]]))

    def _resumed(self, champion: Path | None) -> Checkpoint | None:
        """The work so far, on this stream or on what there was of it; it goes on with what came since."""
        found = load(self._folder)
        if found is None:
            return None
        rows = found.predictions.shape[1]
        before = json.loads(found.settings)
        others = {**asdict(self.settings), "champion": before.get("champion")}
        if before != others or found.fingerprint != self.stream.fingerprint(min(rows, self.stream.rows)):
            raise ConflictError(f"{self._folder} holds the work on another stream or with other settings; --fresh begins anew")
        if before["champion"] != self.settings.champion:
            self._follow(found, before["champion"], champion)
        added = numpy.full((len(POLICIES), self.stream.rows - rows), numpy.nan)
        found.predictions = numpy.concatenate([found.predictions, added], axis=1)
        found.fingerprint = self.stream.fingerprint(self.stream.rows)
        return found

    def _follow(self, found: Checkpoint, present: str, champion: Path | None) -> None:
        """Have the new champion predict what is still to be predicted; this counts from the next checkpoint on, as all else."""
        if not champion or not may_follow(self.settings.champion, present):
            raise ConflictError(
                f"{self._folder} holds the work against {present or OWN_CHAMPION}, not against "
                f"{self.settings.champion or OWN_CHAMPION}; --fresh begins anew, --model {present} goes on with it"
            )
        found.champion, found.settings = str(champion.absolute()), self._settings
        found.new_champions.append(found.row)

    @property
    def _settings(self) -> str:
        return json.dumps(asdict(self.settings), sort_keys=True)


def check_start(stream: Stream, settings: OnlineSettings, champion: Path | None = None) -> FeatureSpecification:
    """The features, learnt from the warm-up rows; `champion` is a bundle.

    Raises `InvalidRequestError` for a stream, settings or a champion that can't serve.
    """
    _check(stream, settings)
    specification = fit(stream.take(stream.arrival_order[: settings.warm_up]), stream.label_column)
    if len(specification.classes) != 2:
        found = ", ".join(specification.classes[:10])
        raise InvalidRequestError(f"the first {settings.warm_up:,} labels have the classes {found}; two would serve")
    if champion:
        _check_classes(ServedModel(champion), specification)
    return specification


def _check(stream: Stream, settings: OnlineSettings) -> None:
    labels = len(stream.arrival_order)
    if settings.warm_up < LEAST_WARM_UP:
        raise InvalidRequestError(f"a warm-up of {settings.warm_up:,} labels is too short; {LEAST_WARM_UP:,} or more would serve")
    if labels <= settings.warm_up:
        raise InvalidRequestError(
            f"{labels:,} labels have arrived, and the warm-up alone takes {settings.warm_up:,}; wait for more, or shorten it"
        )
    if settings.window < LEAST_WARM_UP:
        raise InvalidRequestError(f"a window of {settings.window:,} labels is too short; {LEAST_WARM_UP:,} or more would serve")


def _check_classes(model: ServedModel, specification: FeatureSpecification) -> None:
    if set(model.specification.classes) != set(specification.classes):
        raise InvalidRequestError(
            f"the champion's classes are {', '.join(model.specification.classes[:10])}, the stream's labels "
            f"{', '.join(specification.classes)}; the model of this label would serve"
        )
