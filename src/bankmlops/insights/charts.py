"""Charts over time as SVG text, coloured by the page's style sheet, light or dark; a mark says its figures when pointed at."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

WIDTH, HEIGHT = 860, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 850, 26, 196
_MINUTE, _DAY = 60, 86_400

Value = float | None


@dataclass(frozen=True, slots=True)
class Series:
    """A name for the legend, a class of the style sheet, and a value for each bucket (None where there is none)."""

    name: str
    style: str
    values: tuple[Value, ...]


def bars(starts: Sequence[float], width: float, series: Sequence[Series], title: str, titles: Sequence[str]) -> str:
    """Bars of buckets of `width` seconds from `starts` (Unix seconds), the series on top of one another."""
    highest = max((sum(each.values[index] or 0 for each in series) for index in range(len(starts))), default=0)
    frame = _Frame(starts[0], starts[-1] + width, highest, title)
    step = (_RIGHT - _LEFT) / max(len(starts), 1)
    for index, start in enumerate(starts):
        below = 0.0
        left = frame.x(start)
        wide = max(frame.x(start + width) - left - (2 if step > 8 else 0.5), 0.8)
        for each in series:
            value = each.values[index] or 0
            if value:
                top, bottom = frame.y(below + value), frame.y(below)
                place = f'x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{max(bottom - top, 0.8):.1f}"'
                frame.add(f'<rect class="{each.style}" {place}><title>{escape(titles[index])}</title></rect>')
            below += value
    return frame.to_svg()


def lines(starts: Sequence[float], width: float, series: Sequence[Series], title: str, titles: Sequence[str]) -> str:
    """A line for each series through the middles of the buckets; a bucket without a value interrupts it."""
    highest = max((value for each in series for value in each.values if value is not None), default=0)
    frame = _Frame(starts[0], starts[-1] + width, highest, title)
    for each in series:
        for part in _unbroken(each.values):
            points = " ".join(
                f"{frame.x(starts[index] + width / 2):.1f},{frame.y(each.values[index] or 0):.1f}" for index in part
            )
            frame.add(f'<polyline class="line {each.style}" points="{points}"/>')
        for index, value in enumerate(each.values):
            if value is not None:
                place = f'cx="{frame.x(starts[index] + width / 2):.1f}" cy="{frame.y(value):.1f}"'
                frame.add(f'<circle class="dot {each.style}" {place} r="2.6"><title>{escape(titles[index])}</title></circle>')
    return frame.to_svg()


class _Frame:
    """Axes: time below, values from 0 at the left."""

    def __init__(self, first: float, last: float, highest: float, title: str) -> None:
        self._first, self._last = first, max(last, first + 1)
        self._ticks = _ticks(highest)
        self._title = title
        self._parts: list[str] = []
        self._grid()

    def x(self, seconds: float) -> float:
        return _LEFT + (seconds - self._first) / (self._last - self._first) * (_RIGHT - _LEFT)

    def y(self, value: float) -> float:
        return _BOTTOM - value / self._ticks[-1] * (_BOTTOM - _TOP)

    def add(self, part: str) -> None:
        self._parts.append(part)

    def to_svg(self) -> str:
        head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(self._title)}">'
        return f"{head}{''.join(self._parts)}</svg>"

    def _grid(self) -> None:
        for value in self._ticks:
            y = self.y(value)
            self.add(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_RIGHT}"/>')
            self.add(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:,.10g}</text>')
        for seconds, text in _times(self._first, self._last):
            self.add(f'<text x="{self.x(seconds):.1f}" y="{_BOTTOM + 20}" text-anchor="middle">{text}</text>')
        self.add(f'<path class="axis" d="M{_LEFT} {_BOTTOM}H{_RIGHT}"/>')
        self.add(f'<text x="2" y="12">{escape(self._title)}</text>')


def _unbroken(values: Sequence[Value]) -> list[list[int]]:
    parts: list[list[int]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            parts.append([])
        else:
            parts[-1].append(index)
    return [part for part in parts if part]


def _ticks(highest: float) -> list[float]:
    """Round numbers from 0 to at least `highest`."""
    step = _round_up((highest or 1.0) / 4)
    return [round(step * index, 12) for index in range(max(1, math.ceil(highest / step - 1e-9)) + 1)]


def _round_up(step: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(step))
    return next(factor for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= step * 0.999) * magnitude


def _times(first: float, last: float) -> list[tuple[float, str]]:
    """About six moments between, in UTC, as short as tells them apart."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, _DAY)
    step = next((each for each in steps if (last - first) / each <= 7), _DAY * math.ceil((last - first) / 7 / _DAY))
    shown: Callable[[datetime], str] = _clock if step < _MINUTE else _minutes if step < _DAY else _days
    moments = [step * index for index in range(math.ceil(first / step), math.floor(last / step) + 1)]
    return [(moment, shown(datetime.fromtimestamp(moment, UTC))) for moment in moments]


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M:%S}"


def _minutes(moment: datetime) -> str:
    return f"{moment:%H:%M}" if moment.hour or moment.minute else f"{moment:%d %b}"


def _days(moment: datetime) -> str:
    return f"{moment:%d %b}"
