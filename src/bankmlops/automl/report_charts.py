"""The report's pictures of held-out predictions, each from labels and probabilities: what it shows, and in one line what it says.

Of two classes the second is shown; of more, each of the most frequent ones against the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from sklearn import metrics as sk

from bankmlops.automl.metrics import share_among_equals
from bankmlops.automl.svg import Frame, Range, around

Array = numpy.ndarray[Any, Any]

MAXIMUM_SHOWN = 5
LEAST_RANGE = 0.002  # of scores over time
_GROUPS = 10
_UNIT = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Chart:
    """A titled picture; `caption` says what to see in it, `legend` are (style, name) where it has several lines."""

    title: str
    caption: str
    svg: str
    legend: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Predictions:
    """`labels` int [rows] and `probabilities` [rows, classes] of held-out rows."""

    labels: Array
    probabilities: Array
    classes: tuple[str, ...]

    @property
    def is_binary(self) -> bool:
        return len(self.classes) == 2

    @property
    def shown(self) -> list[int]:
        """The classes that have a line."""
        if self.is_binary:
            return [1]
        counts = numpy.bincount(self.labels, minlength=len(self.classes))
        most = numpy.argsort(-counts, kind="stable")[:MAXIMUM_SHOWN]
        return [int(code) for code in most if 0 < counts[code] < len(self.labels)]

    @property
    def legend(self) -> tuple[tuple[str, str], ...]:
        return () if self.is_binary else tuple((f"s{place}", self.classes[code]) for place, code in enumerate(self.shown))

    def of(self, code: int) -> tuple[Array, Array]:
        """Whether each row is of the class, and its probability."""
        return self.labels == code, self.probabilities[:, code].astype(numpy.float64)


def progress_chart(progress: Sequence[tuple[float, float]], metric: str, *, falling: bool) -> Chart:
    """The best score over time: `progress` are the (seconds, score) of each completed trial."""
    pairs = numpy.array(sorted(progress), dtype=numpy.float64)
    seconds, scores = pairs[:, 0], pairs[:, 1]
    best = (numpy.minimum if falling else numpy.maximum).accumulate(scores)
    end = float(seconds[-1]) * 1.04
    shown_range = _at_least(around(_without_outliers(scores, best)))
    frame = Frame((0.0, max(end, 1.0)), shown_range, "Seconds since the start", metric)
    x, y = _stairs(seconds, numpy.clip(best, *shown_range), end)
    inside = (scores >= shown_range[0]) & (scores <= shown_range[1])
    frame.area(x, y, "s0")
    frame.line(x, y, "s0")
    titles = [f"{second:.1f} s: {score:.4f}" for second, score in pairs[inside]]
    frame.dots(seconds[inside], scores[inside], "s0", titles)
    left_out = int((~inside).sum())
    note = f" {left_out} far off are not in the picture." if left_out else ""
    caption = f"Best {metric} {best[-1]:.4f} after {seconds[int(numpy.flatnonzero(best == best[-1])[0])]:.1f} s.{note}"
    return Chart("Best score over time", caption, frame.to_svg(f"Line: best {metric} over time. {caption}"))


def _at_least(shown: Range) -> Range:
    """A range that is not so narrow that noise looks like a step, nor its numbers too long to be read."""
    room = max(LEAST_RANGE - (shown[1] - shown[0]), 0.0) / 2
    return shown[0] - room, shown[1] + room


def _without_outliers(scores: Array, best: Array) -> list[float]:
    """The scores that a common scale shows well: those nearer to the best than five times the middle distance."""
    distance = numpy.abs(scores - best[-1])
    limit = 5 * float(numpy.median(distance)) or float(distance.max())
    return [float(score) for score in scores[distance <= limit]]


def _stairs(x: Array, y: Array, end: float) -> tuple[Array, Array]:
    return numpy.append(numpy.repeat(x, 2)[1:], end), numpy.repeat(y, 2)


def roc_chart(predictions: Predictions) -> Chart:
    """True positives over false positives."""
    frame = Frame(_UNIT, _UNIT, "False positive rate", "True positive rate")
    frame.rule((0, 0), (1, 1))
    areas = []
    for place, code in enumerate(predictions.shown):
        truth, probability = predictions.of(code)
        false, true, _ = sk.roc_curve(truth, probability)
        if predictions.is_binary:
            frame.area(false, true, "s0")
        frame.line(false, true, f"s{place}")
        areas.append(sk.auc(false, true))
    caption = f"AUC {_range_of(areas)}; by chance it would be 0.5."
    return Chart("ROC", caption, frame.to_svg(f"ROC curve. {caption}"), predictions.legend)


def precision_recall_chart(predictions: Predictions) -> Chart:
    """Precision over recall."""
    frame = Frame(_UNIT, (0.0, 1.02), "Recall", "Precision")
    averages = []
    for place, code in enumerate(predictions.shown):
        truth, probability = predictions.of(code)
        precision, recall, _ = sk.precision_recall_curve(truth, probability)
        share = float(truth.mean())
        if predictions.is_binary:
            frame.rule((0, share), (1, share), "share of the class")
            frame.area(recall[::-1], precision[::-1], "s0")
        frame.line(recall[::-1], precision[::-1], f"s{place}")
        averages.append(sk.average_precision_score(truth, probability))
    caption = f"Average precision {_range_of(averages)}."
    return Chart("Precision and recall", caption, frame.to_svg(f"Precision over recall. {caption}"), predictions.legend)


def calibration_chart(predictions: Predictions) -> Chart:
    """What came true over what was promised, in groups of equal size; below, how the probabilities are spread."""
    frame = Frame(_UNIT, _UNIT, "Promised probability", "Share that came true")
    if predictions.is_binary:
        heights, edges = numpy.histogram(predictions.of(1)[1], bins=20, range=_UNIT)
        frame.pillars(edges, heights / heights.max() * 0.25, "faint")
    frame.rule((0, 0), (1, 1))
    gaps = []
    for place, code in enumerate(predictions.shown):
        truth, probability = predictions.of(code)
        groups = numpy.array_split(numpy.argsort(probability, kind="stable"), min(_GROUPS, len(truth)))
        promised = numpy.array([probability[group].mean() for group in groups])
        shares = share_among_equals(truth, probability)
        came = numpy.array([shares[group].mean() for group in groups])
        frame.line(promised, came, f"s{place}")
        titles = [f"promised {each:.1%}, came true {true:.1%}" for each, true in zip(promised, came, strict=True)]
        frame.dots(promised, came, f"s{place}", titles)
        gaps.append(float(numpy.abs(promised - came).mean()))
    caption = f"On average {max(gaps):.1%} between promised and true" + (
        "; the bars show how often each is promised." if predictions.is_binary else "."
    )
    return Chart("Calibration", caption, frame.to_svg(f"Calibration. {caption}"), predictions.legend)


def gain_chart(predictions: Predictions) -> Chart:
    """The share of the class that is found among the first rows, when those with the highest probability go first."""
    frame = Frame(_UNIT, _UNIT, "Share of rows, most likely first", "Share of the class found", percent=(True, True))
    frame.rule((0, 0), (1, 1))
    found = []
    for place, code in enumerate(predictions.shown):
        share, gain, perfect = _gain(*predictions.of(code))
        if predictions.is_binary:
            frame.rule((0, 0), (perfect, 1))
            frame.area(share, gain, "s0")
        frame.line(share, gain, f"s{place}")
        found.append(float(numpy.interp(0.2, share, gain)))
    caption = f"The first 20% of the rows hold {_range_of(found, percent=True)} of the class."
    return Chart("Cumulative gain", caption, frame.to_svg(f"Cumulative gain. {caption}"), predictions.legend)


def lift_chart(predictions: Predictions) -> Chart:
    """How many times more of the class there is among the first rows than among all."""
    curves = []
    for code in predictions.shown:
        share, gain, _ = _gain(*predictions.of(code))
        kept = share >= 0.01
        curves.append((share[kept], gain[kept] / share[kept]))
    highest = max(float(lift.max()) for _, lift in curves)
    frame = Frame(_UNIT, (0.0, highest * 1.08), "Share of rows, most likely first", "Lift", percent=(True, False))
    frame.rule((0, 1), (1, 1))
    for place, (share, lift) in enumerate(curves):
        frame.line(share, lift, f"s{place}")
    tenth = [float(numpy.interp(0.1, share, lift)) for share, lift in curves]
    caption = f"The first 10% of the rows have {_range_of(tenth, places=1)} times the class' share; 1 is by chance."
    return Chart("Lift", caption, frame.to_svg(f"Lift. {caption}"), predictions.legend)


def _gain(truth: Array, probability: Array) -> tuple[Array, Array, float]:
    """Shares of the rows [rows + 1], the share of the class that is found among each, and at which share all could be found."""
    order = numpy.argsort(-probability, kind="stable")
    found = numpy.cumsum(share_among_equals(truth, probability)[order])
    gain = numpy.concatenate([[0.0], found]) / max(int(truth.sum()), 1)
    return numpy.arange(len(gain)) / (len(gain) - 1), gain, float(truth.mean())


def threshold_counts(predictions: Predictions) -> tuple[Array, Array]:
    """int64 [101], int64 [101]: true and false positives at the thresholds 0.00 to 1.00, of the second of two classes."""
    truth, probability = predictions.of(1)
    thresholds = numpy.arange(101) / 100
    false, true = (len(part) - numpy.searchsorted(numpy.sort(part), thresholds) for part in _parted(truth, probability))
    return true, false


def threshold_chart(predictions: Predictions) -> Chart:
    """Precision, recall and accuracy over the threshold from which on a row counts as the second class."""
    true, false = threshold_counts(predictions)
    actual, rows = int((predictions.labels == 1).sum()), len(predictions.labels)
    thresholds, answered = numpy.arange(101) / 100, true + false
    precision = true[answered > 0] / answered[answered > 0]
    accuracy = (true + (rows - actual) - false) / rows
    f1 = 2 * true / numpy.maximum(answered + actual, 1)
    frame = Frame(_UNIT, (0.0, 1.02), "Threshold", "Score")
    lines = (("s0", "accuracy", accuracy), ("s1", "recall", true / max(actual, 1)), ("s3", "F1", f1))
    for style, _, values in lines:
        frame.line(thresholds, values, style)
    frame.line(thresholds[answered > 0], precision, "s2")
    frame.marker(0.5, "threshold-marker")
    caption = f"Accuracy is best at {accuracy.argmax() / 100:.2f}, F1 at {f1.argmax() / 100:.2f}. The endpoint answers at 0.50."
    legend = (*((style, name) for style, name, _ in lines), ("s2", "precision"))
    return Chart("Threshold", caption, frame.to_svg(f"Scores over the threshold. {caption}"), legend)


def coverage_chart(predictions: Predictions) -> Chart:
    """The accuracy of those rows about which the model is surest, over how many they are."""
    sure = predictions.probabilities.max(axis=1)
    right = predictions.probabilities.argmax(axis=1) == predictions.labels
    order = numpy.argsort(-sure, kind="stable")
    share = numpy.arange(1, len(order) + 1) / len(order)
    accuracy = numpy.cumsum(right[order]) / numpy.arange(1, len(order) + 1)
    kept = share >= min(0.02, 1.0)
    frame = Frame(
        _UNIT, around([float(accuracy[kept].min()), 1.0]), "Share of rows, surest first", "Accuracy", percent=(True, True)
    )
    frame.line(share[kept], accuracy[kept], "s0")
    half = float(numpy.interp(0.5, share, accuracy))
    caption = f"On the surer half of the rows it is right in {half:.1%}, on all in {accuracy[-1]:.1%}."
    return Chart("Sure and right", caption, frame.to_svg(f"Accuracy over coverage. {caption}"))


def separation_chart(predictions: Predictions) -> Chart:
    """Which share of each of two classes has at most a probability, and how far apart they are (Kolmogorov and Smirnov)."""
    truth, probability = predictions.of(1)
    at = numpy.arange(201) / 200
    shares = [numpy.searchsorted(numpy.sort(part), at, side="right") / max(len(part), 1) for part in _parted(truth, probability)]
    distances = numpy.abs(shares[0] - shares[1])
    widest = int(distances.argmax())
    frame = Frame(_UNIT, _UNIT, "Probability", "Share of rows up to it")
    frame.rule((at[widest], shares[0][widest]), (at[widest], shares[1][widest]))
    frame.line(at, shares[0], "s1")
    frame.line(at, shares[1], "s0")
    caption = f"Widest at {at[widest]:.2f}: {distances[widest]:.1%} apart (Kolmogorov–Smirnov)."
    legend = (("s1", f"really {predictions.classes[0]}"), ("s0", f"really {predictions.classes[1]}"))
    return Chart("Separation", caption, frame.to_svg(f"Distribution of the probability by class. {caption}"), legend)


def _parted(truth: Array, values: Array) -> tuple[Array, Array]:
    return values[~truth], values[truth]


def _range_of(values: Sequence[float], *, percent: bool = False, places: int = 4) -> str:
    texts = [f"{value:.0%}" if percent else f"{value:.{places}f}" for value in (min(values), max(values))]
    return texts[0] if texts[0] == texts[1] else f"{texts[0]} to {texts[1]}"


def charts_of(predictions: Predictions) -> list[Chart]:
    """All that the predictions have, the most used first."""
    every = (roc_chart, precision_recall_chart, calibration_chart, gain_chart, lift_chart)
    draws = (threshold_chart, *every, separation_chart) if predictions.is_binary else (*every, coverage_chart)
    return [draw(predictions) for draw in draws]
