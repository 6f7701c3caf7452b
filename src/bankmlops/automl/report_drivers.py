"""The report's section on what moves the model: importance, a strip of dots for each column, and rows that add up."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy

from bankmlops.automl.explanations import Example, Importance

Array = numpy.ndarray[Any, Any]

MAXIMUM_COLUMNS = 12
MAXIMUM_PARTS = 7
MAXIMUM_DOTS = 120
_STRIP_WIDTH, _STRIP_HEIGHT = 600.0, 34.0
_BIN = 7.0
_STYLES = ("h0", "h1", "h2", "h3")


def section(importance: Importance, examples: Sequence[Example]) -> str:
    """The section as HTML."""
    rows = "".join(_driver(importance, index) for index in numpy.argsort(-importance.values, kind="stable")[:MAXIMUM_COLUMNS])
    left = len(importance.columns) - MAXIMUM_COLUMNS
    more = f'<p class="small soft" style="margin-top:8px">{left} more columns move it less.</p>' if left > 0 else ""
    cards = "".join(_example_card(example) for example in examples)
    shown = f'<div class="grid" style="margin-top:16px">{cards}</div>' if cards else ""
    return f'<section><h2>What drives it</h2><div class="card">{_head(importance)}{rows}</div>{more}</div>{shown}</section>'


def _head(importance: Importance) -> str:
    name = escape(repr(importance.shown_class))
    key = (
        '<span class="key"><i style="background:var(--low)"></i>low value<i style="background:var(--high)"></i>high value'
        '<i style="background:var(--soft)"></i>text</span>'
    )
    return (
        f'<p class="small soft" style="margin-bottom:12px">Shapley values of {len(importance.contributions)} rows against a '
        f"stored background, whose mean probability of {name} is {importance.base:.1%}. A row's contributions sum to its "
        "prediction.</p>"
        '<div class="drivers"><span class="head">Column</span><span class="head">Mean change of a probability</span>'
        f'<span class="head">Each row: less {name} ← → more {name} {key}</span>'
    )


def _driver(importance: Importance, index: int) -> str:
    value, name = float(importance.values[index]), escape(importance.columns[index])
    width = value / max(float(importance.values.max()), 1e-12)
    bar = f'<span class="bar" aria-hidden="true"><i style="width:{width:.1%}"></i></span>'
    return (
        f'<span class="name">{name}</span><span class="size">{bar}{value:.4f}</span>'
        f'<span class="strip">{_strip(importance, index)}</span>'
    )


def _strip(importance: Importance, index: int) -> str:
    low, high = min(float(importance.contributions.min()), 0.0), max(float(importance.contributions.max()), 1e-12)
    values, levels = importance.contributions[:MAXIMUM_DOTS, index], importance.levels[:MAXIMUM_DOTS, index]
    x = _across(values, low, high)
    y = _swarm(x)
    dots = "".join(
        f'<circle class="{_style(level)}" cx="{at_x:.0f}" cy="{at_y:.1f}" r="3.6"/>'
        for at_x, at_y, level in zip(x, y, levels, strict=True)
    )
    label = escape(f"{importance.columns[index]}: contributions from {values.min():+.3f} to {values.max():+.3f}")
    zero = f'<path class="zero" d="M{float(_across(numpy.zeros(1), low, high)[0]):.0f} 0V{_STRIP_HEIGHT:.0f}"/>'
    box = f"0 0 {_STRIP_WIDTH:.0f} {_STRIP_HEIGHT:.0f}"
    return f'<svg viewBox="{box}" role="img" aria-label="{label}">{zero}{dots}</svg>'


def _across(values: Array, low: float, high: float) -> Array:
    return numpy.asarray(6 + (values - low) / (high - low) * (_STRIP_WIDTH - 12))


def _style(level: float) -> str:
    return "ht" if numpy.isnan(level) else _STYLES[min(int(level * len(_STYLES)), len(_STYLES) - 1)]


def _swarm(x: Array) -> Array:
    """Heights that spread dots at about the same place away from the middle, to both sides in turn."""
    bins = (x // _BIN).astype(numpy.int64)
    ranks = numpy.array([int((bins[:place] == each).sum()) for place, each in enumerate(bins)])
    crowd = numpy.bincount(bins)[bins]
    room = numpy.minimum(4.0, (_STRIP_HEIGHT - 9) / crowd)
    side = numpy.where(ranks % 2 == 0, 1, -1)
    return numpy.asarray(_STRIP_HEIGHT / 2 + side * ((ranks + 1) // 2) * room)


def _example_card(example: Example) -> str:
    reach = max((abs(part) for _, _, part in example.parts), default=0.0) or 1.0
    lines = "".join(_part(f"{name} = {value}", part, reach) for name, value, part in example.parts[:MAXIMUM_PARTS])
    rest = sum(part for _, _, part in example.parts[MAXIMUM_PARTS:])
    if len(example.parts) > MAXIMUM_PARTS:
        lines += _part(f"{len(example.parts) - MAXIMUM_PARTS} more columns", rest, reach)
    return (
        f'<div class="card"><h3>Row {example.row + 1:,}: {example.probability:.1%} {escape(example.shown_class)}</h3>'
        f'<p class="small soft">from {example.base:.1%}, the background\'s mean</p><div class="sum">{lines}</div></div>'
    )


def _part(name: str, part: float, reach: float) -> str:
    size = min(abs(part) / reach, 1.0) / 2
    place = f"left:50%;width:{size:.1%}" if part >= 0 else f"right:50%;width:{size:.1%}"
    pull = f'<span class="pull" aria-hidden="true"><i{"" if part >= 0 else " class=down"} style="{place}"></i></span>'
    return f'<span>{escape(name)}</span>{pull}<span class="n">{part:+.1%}</span>'
