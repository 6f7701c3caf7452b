"""The drift report: a page of its own with every column's training beside its present, and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bankmlops.insights.drift import ColumnDrift, Drift
from bankmlops.insights.page import Html, page, table, tiles

_BAR_WIDTH, _GAP, _HEIGHT, _FOOT = 300, 3, 110, 16


def drift_report(drift: Drift) -> str:
    """The page, as HTML."""
    subtitle = (
        f"Model {drift.model}, {drift.rows:,} rows collected from {drift.first} to {drift.last}, compared with the "
        f"{drift.training_rows:,} that it was trained on; written {drift.written:%Y-%m-%d %H:%M:%S} UTC"
    )
    if drift.unwatched:
        subtitle += f"; not watched, since training left no profile of their texts: {', '.join(drift.unwatched)}"
    worst = drift.columns[0].psi if drift.columns else 0.0
    parts = [
        tiles(
            [
                ("columns that drifted", f"{len(drift.drifted)} of {len(drift.columns)}"),
                ("largest PSI", f"{worst:.3f}"),
                ("threshold", f"{drift.threshold:g}"),
                ("rows", f"{drift.rows:,}"),
            ]
        ),
        table("Columns", ("column", "", "PSI", "Jensen-Shannon", "missing before", "missing now", "new"), _rows(drift)),
        f'<h2>Training and now</h2><div class="grid2">{"".join(_card(column, drift) for column in drift.columns)}</div>',
        '<div class="legend"><span><i class="quiet"></i>training</span><span><i class="s0"></i>now</span></div>',
    ]
    return page(f"Drift of {drift.endpoint}", subtitle, parts)


def _rows(drift: Drift) -> Sequence[Sequence[object]]:
    return [
        (
            column.name,
            _chip(column, drift),
            round(column.psi, 4),
            round(column.jensen_shannon, 4),
            f"{column.missing_training:.1%}",
            f"{column.missing_now:.1%}",
            ", ".join(f"{name} ({count:,})" for name, count in list(column.new_categories.items())[:5]),
        )
        for column in drift.columns
    ]


def _chip(column: ColumnDrift, drift: Drift) -> Html:
    moved = column.psi > drift.threshold
    return Html(f'<span class="chip {"bad" if moved else "good"}">{"drifted" if moved else "stable"}</span>')


def _card(column: ColumnDrift, drift: Drift) -> str:
    return f'<div class="card small"><h3>{escape(column.name)}{_chip(column, drift)}</h3>{_bars(column)}</div>'


def _bars(column: ColumnDrift) -> str:
    """Each bin's two shares side by side, which say themselves when pointed at."""
    highest = max(*column.training, *column.now, 1e-9)
    step = _BAR_WIDTH / len(column.bins)
    wide = max((step - _GAP) / 2, 0.5)
    parts = []
    for index, (name, before, after) in enumerate(zip(column.bins, column.training, column.now, strict=True)):
        title = escape(f"{name}: {before:.1%} in training, {after:.1%} now")
        for place, (share, style) in enumerate(((before, "quiet"), (after, "s0"))):
            height = share / highest * (_HEIGHT - _FOOT - 4)
            x, y = index * step + place * wide, _HEIGHT - _FOOT - height
            place_and_size = f'x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{height:.1f}"'
            parts.append(f'<rect class="{style}" {place_and_size}><title>{title}</title></rect>')
    ends = (
        f'<text x="0" y="{_HEIGHT - 3}">{escape(column.bins[0][:24])}</text>'
        f'<text x="{_BAR_WIDTH}" y="{_HEIGHT - 3}" text-anchor="end">missing</text>'
    )
    label = escape(f"{column.name}: shares in training and now")
    return f'<svg viewBox="0 0 {_BAR_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}{ends}</svg>'
