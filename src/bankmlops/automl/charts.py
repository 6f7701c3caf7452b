"""Pictures of the winner's held-out predictions, and the same as data: confusion matrix, ROC, precision and recall, calibration.

They are drawn on matplotlib's canvas without pyplot, which keeps no global state and needs no display.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
from sklearn import metrics as sk

from bankmlops.automl.metrics import predicted_codes, share_among_equals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = numpy.ndarray[Any, Any]

MAXIMUM_CURVES = 10
MAXIMUM_POINTS = 400


def write_charts(folder: Path, labels: Array, probabilities: Array, classes: Sequence[str]) -> None:
    """Write `confusion_matrix.json` and the PNG files into the folder."""
    matrix = sk.confusion_matrix(labels, predicted_codes(probabilities), labels=range(len(classes)))
    document = {"class_labels": list(classes), "matrix": matrix.tolist()}
    (folder / "confusion_matrix.json").write_text(json.dumps(document, ensure_ascii=False) + "\n", encoding="utf-8")
    shown = _shown_classes(labels, len(classes))
    for name, figure in (
        ("confusion_matrix", _confusion(matrix, classes)),
        ("roc", _roc(labels, probabilities, classes, shown)),
        ("precision_recall", _precision_recall(labels, probabilities, classes, shown)),
        ("calibration", _calibration(labels, probabilities, classes, shown)),
    ):
        figure.savefig(folder / f"{name}.png", dpi=110)


def _shown_classes(labels: Array, count: int) -> list[int]:
    """Of two classes the second says it all; of many the most frequent."""
    if count == 2:
        return [1]
    most = numpy.argsort(-numpy.bincount(labels, minlength=count), kind="stable")
    return [int(code) for code in most[:MAXIMUM_CURVES]]


def _figure(title: str, x: str, y: str) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes


def _confusion(matrix: Array, classes: Sequence[str]) -> Figure:
    figure, axes = _figure("Confusion matrix (held-out rows)", "Predicted", "Actual")
    shares = matrix / numpy.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(classes) <= 20:
        axes.set_xticks(range(len(classes)), [_short(name) for name in classes], rotation=45 if len(classes) > 4 else 0)
        axes.set_yticks(range(len(classes)), [_short(name) for name in classes])
        for row, column in numpy.ndindex(matrix.shape):
            color = "white" if shares[row, column] > 0.5 else "black"
            text = f"{matrix[row, column]:,}\n{shares[row, column]:.1%}" if len(classes) <= 6 else f"{matrix[row, column]}"
            axes.text(column, row, text, ha="center", va="center", color=color)
    return figure


def _roc(labels: Array, probabilities: Array, classes: Sequence[str], shown: Sequence[int]) -> Figure:
    figure, axes = _figure("ROC (held-out rows)", "False positive rate", "True positive rate")
    for code in shown:
        false, true, _ = sk.roc_curve(labels == code, probabilities[:, code])
        axes.plot(*_thinned(false, true), label=f"{_short(classes[code])} (AUC {sk.auc(false, true):.4f})")
    axes.plot([0, 1], [0, 1], color="gray", linestyle=":", label="by chance")
    axes.legend(loc="lower right")
    return figure


def _precision_recall(labels: Array, probabilities: Array, classes: Sequence[str], shown: Sequence[int]) -> Figure:
    figure, axes = _figure("Precision and recall (held-out rows)", "Recall", "Precision")
    for code in shown:
        precision, recall, _ = sk.precision_recall_curve(labels == code, probabilities[:, code])
        average = sk.average_precision_score(labels == code, probabilities[:, code])
        (line,) = axes.plot(*_thinned(recall, precision), label=f"{_short(classes[code])} (AP {average:.4f})")
        axes.axhline(float((labels == code).mean()), color=line.get_color(), linestyle=":", linewidth=0.8)
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(loc="lower left")
    return figure


def _calibration(labels: Array, probabilities: Array, classes: Sequence[str], shown: Sequence[int]) -> Figure:
    figure, axes = _figure("Calibration (held-out rows, ten groups of equal size)", "Mean probability", "Share of rows")
    for code in shown:
        order = numpy.argsort(probabilities[:, code], kind="stable")
        groups = numpy.array_split(order, min(10, len(order)))
        means = [float(probabilities[group, code].mean()) for group in groups]
        of_equals = share_among_equals(labels == code, probabilities[:, code])
        shares = [float(of_equals[group].mean()) for group in groups]
        axes.plot(means, shares, marker="o", label=_short(classes[code]))
    axes.plot([0, 1], [0, 1], color="gray", linestyle=":", label="as promised")
    axes.legend(loc="upper left")
    return figure


def _thinned(x: Array, y: Array) -> tuple[Array, Array]:
    kept = numpy.unique(numpy.linspace(0, len(x) - 1, min(len(x), MAXIMUM_POINTS)).astype(int))
    return x[kept], y[kept]


def _short(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:19]}…"
