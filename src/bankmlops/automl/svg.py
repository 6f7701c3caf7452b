"""Charts as SVG text: axes, lines, bars and dots in a frame of one size, coloured by the page's style sheet, light or dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy

Array = numpy.ndarray[Any, Any]
Range = tuple[float, float]

WIDTH, HEIGHT = 400, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 382, 24, 242
MAXIMUM_POINTS = 160


class Frame:
    """A chart in the making. `x` and `y` are the ranges of its axes; what is drawn first lies below."""

    def __init__(self, x: Range, y: Range, x_title: str, y_title: str, *, percent: tuple[bool, bool] = (False, False)) -> None:
        self._x, self._y = x, y
        self._parts: list[str] = []
        self._grid(x_title, y_title, percent)

    def line(self, x: Array, y: Array, style: str) -> None:
        """A line through the points, thinned where they are many."""
        self._parts.append(f'<polyline class="line {style}" points="{self._points(*thinned(x, y))}"/>')

    def area(self, x: Array, y: Array, style: str) -> None:
        """What is between a line and the lower end of the frame."""
        x, y = thinned(x, y)
        points = f"{self._at(x[0], self._y[0])} {self._points(x, y)} {self._at(x[-1], self._y[0])}"
        self._parts.append(f'<polygon class="area {style}" points="{points}"/>')

    def dots(self, x: Iterable[float], y: Iterable[float], style: str, titles: Iterable[str]) -> None:
        """Dots that say their title when they are pointed at."""
        for at_x, at_y, title in zip(x, y, titles, strict=True):
            place = f'cx="{self._px(at_x):.1f}" cy="{self._py(at_y):.1f}"'
            self._parts.append(f'<circle class="dot {style}" {place} r="3.2"><title>{escape(title)}</title></circle>')

    def pillars(self, edges: Array, heights: Array, style: str) -> None:
        """Upright bars between neighbouring edges."""
        for left, right, height in zip(edges[:-1], edges[1:], heights, strict=True):
            x, y = self._px(left) + 0.75, self._py(height)
            size = f'width="{self._px(right) - x - 0.75:.1f}" height="{_BOTTOM - y:.1f}"'
            self._parts.append(f'<rect class="pillar {style}" x="{x:.1f}" y="{y:.1f}" {size}/>')

    def rule(self, start: tuple[float, float], end: tuple[float, float], label: str = "") -> None:
        """A dashed line to compare with, its label at its end."""
        points = f"{self._at(*start)} {self._at(*end)}"
        self._parts.append(f'<polyline class="rule" points="{points}"/>')
        if label:
            place = f'x="{self._px(end[0]) - 4:.1f}" y="{self._py(end[1]) - 5:.1f}"'
            self._parts.append(f'<text class="note" text-anchor="end" {place}>{escape(label)}</text>')

    def marker(self, x: float, name: str) -> None:
        """An upright line that a script may move; it knows the frame's ends."""
        ends = f'data-left="{_LEFT}" data-right="{_RIGHT}"'
        place = f'x1="{self._px(x):.1f}" x2="{self._px(x):.1f}" y1="{_TOP}" y2="{_BOTTOM}"'
        self._parts.append(f'<line class="marker" id="{escape(name)}" {ends} {place}/>')

    def to_svg(self, description: str) -> str:
        """The chart; `description` is what somebody who can't see it is told."""
        head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(description)}">'
        return f"{head}{''.join(self._parts)}</svg>"

    def _grid(self, x_title: str, y_title: str, percent: tuple[bool, bool]) -> None:
        for value in ticks(*self._y):
            y = self._py(value)
            self._parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_RIGHT}"/>')
            text = shown(value, self._y, percent=percent[1])
            self._parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
        for value in ticks(*self._x):
            text = shown(value, self._x, percent=percent[0])
            place = f'x="{self._px(value):.1f}" y="{_BOTTOM + 16}"'
            self._parts.append(f'<text class="tick" {place} text-anchor="middle">{text}</text>')
        self._parts.append(f'<path class="axis" d="M{_LEFT} {_BOTTOM}H{_RIGHT}"/>')
        middle = f'x="{(_LEFT + _RIGHT) / 2}" y="{_BOTTOM + 34}" text-anchor="middle"'
        self._parts.append(f'<text class="title" {middle}>{escape(x_title)}</text>')
        self._parts.append(f'<text class="title" x="2" y="11">{escape(y_title)}</text>')

    def _points(self, x: Array, y: Array) -> str:
        return " ".join(self._at(float(each_x), float(each_y)) for each_x, each_y in zip(x, y, strict=True))

    def _at(self, x: float, y: float) -> str:
        return f"{self._px(x):.1f},{self._py(y):.1f}"

    def _px(self, value: float) -> float:
        return _LEFT + (value - self._x[0]) / (self._x[1] - self._x[0]) * (_RIGHT - _LEFT)

    def _py(self, value: float) -> float:
        return _BOTTOM - (value - self._y[0]) / (self._y[1] - self._y[0]) * (_BOTTOM - _TOP)


def thinned(x: Array, y: Array) -> tuple[Array, Array]:
    """At most `MAXIMUM_POINTS` of the points, evenly along the way that they make through their unit square."""
    if len(x) <= MAXIMUM_POINTS:
        return x, y
    way = numpy.concatenate([[0.0], numpy.cumsum(_relative(x) + _relative(y))])
    kept = numpy.searchsorted(way, numpy.linspace(0, way[-1], MAXIMUM_POINTS))
    kept = numpy.unique(numpy.concatenate([[0], numpy.minimum(kept, len(x) - 1), [len(x) - 1]]))
    return x[kept], y[kept]


def _relative(values: Array) -> Array:
    steps = numpy.abs(numpy.diff(values.astype(numpy.float64)))
    return numpy.asarray(steps / max(float(values.max() - values.min()), 1e-12))


def around(values: Sequence[float]) -> Range:
    """A range that has a little room around the values."""
    low, high = min(values), max(values)
    room = (high - low) * 0.12 or max(abs(high) * 0.01, 1e-3)
    return low - room, high + room


def ticks(low: float, high: float) -> list[float]:
    """About five round numbers from `low` to `high`."""
    step = _round_step((high - low) / 5)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _round_step(step: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(step))
    return next(factor for factor in (1, 2, 5, 10) if factor * magnitude >= step * 0.9) * magnitude


def shown(value: float, around_it: Range, *, percent: bool) -> str:
    """A tick's number, with as many places as tell it from its neighbours."""
    step = _round_step((around_it[1] - around_it[0]) / 5) * (100 if percent else 1)
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    number = value * 100 if percent else value
    return f"{number + 0.0:,.{places}f}{'%' if percent else ''}"
