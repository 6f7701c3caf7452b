"""The report's words on what an ensemble is made of, and on trials without a place on the leaderboard: given up, or earlier."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from html import escape

from bankmlops.automl.earlier import EarlierRun
from bankmlops.automl.metrics import LOSSES
from bankmlops.automl.results import Trial

MAXIMUM_SHOWN = 20


def made_of(ensemble: Trial) -> str:
    """The members of an ensemble with their weights as bars; nothing for a single model.

    A StackEnsemble's members have no weights: its meta learner's coefficients are in its parameters.
    """
    read = {name: ast.literal_eval(ensemble.parameters.get(f"ensemble{name}", "[]")) for name in ("d_algorithms", "d_iterations")}
    weights = ast.literal_eval(ensemble.parameters.get("ensemble_weights", "[]"))
    if not read["d_algorithms"]:
        return ""
    names = [f"{name}, trial {number}" for name, number in zip(*read.values(), strict=True)]
    how = "" if weights else " A logistic regression over the logarithms of their probabilities makes its answer."
    rows = "".join(_member(name, weights[place] if weights else None) for place, name in enumerate(names[:MAXIMUM_SHOWN]))
    return (
        f'<div class="card"><h3>What {escape(ensemble.algorithm)} is made of</h3>'
        f'<p class="small soft">{len(names)} of the trials, the heaviest first.{how}</p>'
        f'<table class="tight"><tbody>{rows}</tbody></table></div>'
    )


def _member(name: str, weight: float | None) -> str:
    bar = "" if weight is None else f'<span class="bar" aria-hidden="true"><i style="width:{weight:.1%}"></i></span>'
    share = "" if weight is None else f"{weight:.1%}"
    return f'<tr><th scope="row">{escape(name)}</th><td>{bar}</td><td class="n">{share}</td></tr>'


def given_up(trials: Sequence[Trial]) -> str:
    """A folded table of the trials that were given up, killed or failed, with the reason; nothing where there is none."""
    if not trials:
        return ""
    rows = "".join(
        f'<tr><td class="n">{trial.iteration}</td><th scope="row">{escape(trial.algorithm)}</th>'
        f'<td>{escape(trial.status)}</td><td>{escape(trial.error)}</td><td class="n">{trial.seconds:.1f} s</td></tr>'
        for trial in trials[:MAXIMUM_SHOWN]
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Trial", "Algorithm", "Status", "Why", "Fits"))
    count = f"{len(trials)} trial{'s' if len(trials) > 1 else ''} given up"
    return (
        f'<div class="card scroll small"><details><summary>{count}</summary>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></details></div>"
    )


def earlier(run: EarlierRun | None, metric: str, score: float, seconds: float) -> str:
    """What the run's own time bought, over what the earlier one had; nothing where it goes on from none, or none with a score."""
    if run is None:
        return ""
    if not run.same_data:
        return _card("Where it began", f"The best of {escape(run.run_id)} was tried first; its scores are of other rows.")
    if not run.progress:
        return ""
    best = (min if metric in LOSSES else max)(reached for _, reached in run.progress)
    return _card(
        "What the extra time bought",
        f"{escape(run.run_id)} reached {escape(metric)} {best:.4f} in {run.seconds:.0f} s; with {seconds:.0f} s more it is "
        f"{score:.4f} ({score - best:+.4f}), on the same data.",
    )


def _card(title: str, words: str) -> str:
    return f'<div class="card"><h3>{title}</h3><p class="small">{words}</p></div>'
