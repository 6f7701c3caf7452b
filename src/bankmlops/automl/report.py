"""One HTML file a run, with nothing to load from elsewhere: for a person who would rather look than read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy

from bankmlops.automl import guardrails_page, report_charts, report_data, report_drivers, report_trials
from bankmlops.automl.earlier import EarlierRun
from bankmlops.automl.explanations import Example, Importance
from bankmlops.automl.guardrails import Guardrails
from bankmlops.automl.leakage import ColumnWorth, baseline_probabilities
from bankmlops.automl.metrics import LOSSES, classification_metrics
from bankmlops.automl.report_charts import Chart, Predictions
from bankmlops.automl.report_page import SCRIPT, page
from bankmlops.automl.results import Trial
from bankmlops.types import Dataset, Parity

Array = numpy.ndarray[Any, Any]

FILE = "report.html"
MAXIMUM_TRIALS = 20
_SHORT_LEADERBOARD = 8  # shorter than the picture beside it
_TILES = (
    ("accuracy", "accuracy"),
    ("AUC_weighted", "AUC"),
    ("log_loss", "log loss"),
    ("average_precision_score_weighted", "average precision"),
    ("norm_macro_recall", "norm. macro recall"),
)


@dataclass(frozen=True)
class Facts:
    """All that the report tells of.

    `trials` are the completed ones, best first; `progress` is (seconds since the start, score) of each. `labels` int [rows] and
    `probabilities` [rows, classes] are the winner's on held-out rows, which `judged` puts in words, such as "5 folds". What is
    None or empty is left out.
    """

    dataset: Dataset
    primary_metric: str
    seconds: float
    winner: Trial
    trials: Sequence[Trial]
    progress: Sequence[tuple[float, float]]
    labels: Array
    probabilities: Array
    classes: tuple[str, ...]
    judged: str
    seed: int
    guardrails: Guardrails
    parity: Parity | None = None
    importance: Importance | None = None
    examples: Sequence[Example] = ()
    worth: Sequence[ColumnWorth] = ()
    ended: datetime | None = None
    earlier_run: EarlierRun | None = None
    stopped_early: str = ""
    sampled_from: int = 0
    given_up: Sequence[Trial] = ()

    @cached_property
    def predictions(self) -> Predictions:
        """The winner's, as the charts take them."""
        return Predictions(self.labels, self.probabilities, self.classes)

    @cached_property
    def baseline(self) -> dict[str, float]:
        """The metrics of answering the classes' shares, whatever the row."""
        return classification_metrics(self.labels, baseline_probabilities(self.labels))


def write_report(folder: Path, facts: Facts) -> Path:
    """Write `report.html` into the folder."""
    path = folder / FILE
    path.write_text(render(facts), encoding="utf-8")
    return path


def render(facts: Facts) -> str:
    """The report's HTML."""
    sections = [_hero(facts), _search(facts), _drivers(facts), _quality(facts), _data(facts)]
    title = f"{facts.winner.algorithm} on {facts.dataset.name}"
    script = _threshold_script(facts) if facts.predictions.is_binary else ""
    return page(escape(title), _header(facts), "\n".join(sections), _footer(facts), script)


def _header(facts: Facts) -> str:
    when = f" · {facts.ended:%Y-%m-%d %H:%M %Z}".rstrip() if facts.ended else ""
    data = f"{facts.dataset.name} version {facts.dataset.version} · {facts.dataset.rows:,} rows"
    banner = ""
    if facts.dataset.synthetic:
        banner = (
            '<p class="banner" role="note">SYNTHETIC DATA: made by a generator. These scores say nothing about real rows.</p>'
        )
    return (
        f'<p class="eyebrow">AutoML run · {escape(data)}{escape(when)}</p>'
        f"<h1>{escape(facts.winner.algorithm)} predicts {escape(facts.dataset.label_column)} best</h1>{banner}"
    )


def _hero(facts: Facts) -> str:
    metric, score, baseline = facts.primary_metric, facts.winner.score, facts.baseline.get(facts.primary_metric, 0.0)
    low, high = sorted((baseline, score))
    end = max(1.0, high)
    track = (
        f'<div class="track" aria-hidden="true"><i class="base" style="left:0;width:{low / end:.2%}"></i>'
        f'<i style="left:{low / end:.2%};width:{(high - low) / end:.2%}"></i></div>'
    )
    return (
        f'<section class="hero" aria-label="Result"><div class="card"><p class="soft">{escape(metric)}, held-out rows</p>'
        f'<p class="number">{score:.4f}</p>{track}'
        f'<p class="ends">{_ends(facts, baseline)}</p></div>'
        f'<div class="card tiles">{_tiles(facts)}</div></section>'
    )


def _ends(facts: Facts, baseline: float) -> str:
    """What stands at the track's ends: the baseline is on the left, unless the metric is a loss."""
    spans = [f"<span>baseline {baseline:.4f}</span>", f"<span>{_against_baseline(facts, baseline)}</span>"]
    return "".join(reversed(spans) if facts.primary_metric in LOSSES else spans)


def _against_baseline(facts: Facts, baseline: float) -> str:
    """What of the baseline's error is gone; the baseline answers the majority class, or the classes' shares."""
    falling = facts.primary_metric in LOSSES
    gap = baseline if falling else 1 - baseline
    gain = baseline - facts.winner.score if falling else facts.winner.score - baseline
    if gap <= 0:
        return ""
    return (
        f"{gain / gap:.0%} of the baseline's {'loss' if falling else 'error'} is gone" if gain >= 0 else "worse than the baseline"
    )


def _tiles(facts: Facts) -> str:
    tiles = [(name, shown) for name, shown in _TILES if name != facts.primary_metric and name in facts.winner.metrics][:4]
    return "".join(
        f'<div><span class="small soft">{shown}</span><b>{facts.winner.metrics[name]:.4f}</b>'
        f'<span class="small soft">baseline {facts.baseline.get(name, float("nan")):.4f}</span></div>'
        for name, shown in tiles
    )


def _search(facts: Facts) -> str:
    falling = facts.primary_metric in LOSSES
    progress = ""
    if facts.progress:
        progress = figure(report_charts.progress_chart(facts.progress, facts.primary_metric, falling=falling))
    progress += report_trials.earlier(facts.earlier_run, facts.primary_metric, facts.winner.score, facts.seconds)
    more = report_trials.made_of(facts.winner) + _export(facts)
    left, right = (more, "") if len(facts.trials) < _SHORT_LEADERBOARD else ("", more)
    left = report_trials.given_up(facts.given_up) + left
    return (
        '<section><h2>Leaderboard</h2><div class="two"><div class="stack"><div class="card scroll">'
        f'{_leaderboard(facts)}</div>{left}</div><div class="stack">{progress}{right}</div></div></section>'
    )


def _leaderboard(facts: Facts) -> str:
    trials = facts.trials[:MAXIMUM_TRIALS]
    baseline = facts.baseline.get(facts.primary_metric, 0.0)
    largest = max((abs(trial.score - baseline) for trial in trials), default=0.0) or 1.0
    rows = "".join(_leaderboard_row(facts, rank, trial, baseline, largest) for rank, trial in enumerate(trials, start=1))
    more = f" The best {len(trials)} of {len(facts.trials)}." if len(facts.trials) > len(trials) else ""
    caption = f"Bars begin at the baseline, {facts.primary_metric} {baseline:.4f}; a name opens its parameters.{more}"
    others = "".join(f'<th scope="col" class="n wide">{shown}</th>' for _, shown in _other_columns(facts))
    return (
        f'<table><caption>{escape(caption)}</caption><thead><tr><th scope="col" class="n">#</th><th scope="col">Algorithm</th>'
        f'<th scope="col">{escape(facts.primary_metric)}</th>{others}<th scope="col" class="n wide">Fits</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _other_columns(facts: Facts) -> list[tuple[str, str]]:
    return [(name, shown) for name, shown in _TILES[:3] if name != facts.primary_metric]


def _leaderboard_row(facts: Facts, rank: int, trial: Trial, baseline: float, largest: float) -> str:
    gain = baseline - trial.score if facts.primary_metric in LOSSES else trial.score - baseline
    bar = f'<span class="bar" aria-hidden="true"><i style="width:{max(gain, 0.0) / largest:.1%}"></i></span>'
    others = "".join(f'<td class="n wide">{trial.metrics.get(name, float("nan")):.4f}</td>' for name, _ in _other_columns(facts))
    parameters = "\n".join(f"{name}={value}" for name, value in trial.parameters.items())
    code = escape(parameters).replace("\n", "<br>")
    name = f"<details><summary>{escape(trial.algorithm)}</summary><code>{code}</code></details>"
    best = ' class="best"' if trial.iteration == facts.winner.iteration else ""
    return (
        f'<tr{best}><td class="n">{rank}</td><th scope="row">{name}</th>'
        f'<td><span class="score">{trial.score:.4f}{bar}</span></td>{others}<td class="n wide">{trial.seconds:.1f} s</td></tr>'
    )


def _drivers(facts: Facts) -> str:
    if facts.importance is None:
        return ""
    return report_drivers.section(facts.importance, facts.examples)


def _quality(facts: Facts) -> str:
    predictions = facts.predictions
    span = "" if predictions.is_binary else " span"
    cards = [f'<div class="card{span}">{report_data.confusion(predictions)}</div>']
    cards += [figure(chart) for chart in report_charts.charts_of(predictions)]
    cards.append(f'<div class="card">{report_data.metrics(facts.winner.metrics)}</div>')
    return (
        f'<section><h2>How far to trust it</h2><p class="soft" style="margin:-6px 0 14px">{_what_is_judged(facts)}</p>'
        f'<div class="grid">{"".join(cards)}</div></section>'
    )


def _what_is_judged(facts: Facts) -> str:
    one = f"; the curves show {escape(repr(facts.classes[1]))}" if facts.predictions.is_binary else ""
    return (
        f"All on held-out rows: each of the {len(facts.labels):,} was scored by models that never saw it "
        f"({facts.judged}){one}. "
        "The winner was chosen by these scores, so expect new rows to be a little harder."
    )


def figure(chart: Chart) -> str:
    """A chart in its card."""
    keys = "".join(f'<span><i class="{style}"></i>{escape(name)}</span>' for style, name in chart.legend)
    legend = f'<div class="legend">{keys}</div>' if keys else ""
    return (
        f'<figure class="card"><figcaption><h3>{escape(chart.title)}</h3>'
        f'<p class="small soft">{escape(chart.caption)}</p>{legend}'
        f'</figcaption><div class="grid-s">{chart.svg}</div></figure>'
    )


def _data(facts: Facts) -> str:
    counts = numpy.bincount(facts.labels, minlength=len(facts.classes))
    return guardrails_page.section(facts.guardrails, facts.dataset, facts.classes, counts, facts.worth)


def _export(facts: Facts) -> str:
    if facts.parity is None:
        return ""
    return f'<div class="card"><h3>Export</h3>{report_data.parity(facts.parity)}</div>'


def _footer(facts: Facts) -> str:
    rows = f" Trained on a stratified sample: {facts.guardrails.rows:,} of the {facts.sampled_from:,} rows."
    sampled = rows if facts.sampled_from else ""
    stopped = f" The search stopped early: {escape(facts.stopped_early)}." if facts.stopped_early else ""
    return (
        f"{len(facts.trials)} completed trials in {facts.seconds:.0f} s, {facts.judged}, seed {facts.seed}.{sampled}{stopped} "
        f"Dataset sha256 <code>{escape(facts.dataset.sha256)}</code>"
    )


def _threshold_script(facts: Facts) -> str:
    true, false = report_charts.threshold_counts(facts.predictions)
    actual = int((facts.labels == 1).sum())
    data = json.dumps({"true": true.tolist(), "false": false.tolist(), "actual": actual, "rows": len(facts.labels)})
    return f'<script type="application/json" id="threshold-data">{data}</script><script>{SCRIPT.strip()}</script>'
