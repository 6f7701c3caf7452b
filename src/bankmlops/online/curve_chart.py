"""The picture of the three policies over the rows, on matplotlib's canvas without pyplot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bankmlops.online.scores import POLICIES

_STYLES = {"champion": ("#888888", "--"), "periodic": ("#d98200", "-"), "challenger": ("#1f6fd0", "-")}
_METRICS = (("log_loss", "log loss (lower is better)"), ("accuracy", "accuracy"))


def write_curve_chart(
    path: Path,
    curves: Mapping[str, tuple[tuple[int, float], ...]],
    window: int,
    retrained: Sequence[int],
    new_champions: Sequence[int],
) -> None:
    """Write a PNG of curves over the newest `window` labels; after the labels `retrained` the periodic policy had a new model,
    after `new_champions` there was another champion."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7), layout="constrained")
    for axes, (metric, title) in zip(figure.subplots(2, 1, sharex=True), _METRICS, strict=True):
        for policy in POLICIES:
            color, line = _STYLES[policy]
            rows, values = zip(*curves[f"prequential_{metric}_{policy}"] or ((0, 0.0),), strict=True)
            axes.plot(rows, values, color=color, linestyle=line, label=policy)
        for labels in retrained:
            axes.axvline(labels, color="#d98200", alpha=0.25)
        for labels in new_champions:
            axes.axvline(labels, color="#888888", linestyle="--")
        axes.set(ylabel=title)
        axes.grid(alpha=0.25)
    figure.axes[0].legend()
    figure.axes[0].set_title(
        f"Test, then train: the newest {window:,} labels (lines: new periodic models; dashed: a new champion)"
    )
    figure.axes[1].set_xlabel("labels that have arrived since the warm-up")
    figure.savefig(path, dpi=110)
