"""The report's words on trials that have no place on the leaderboard: those that were given up, and those of an earlier run."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bankmlops.automl.earlier import EarlierRun
from bankmlops.automl.metrics import LOSSES
from bankmlops.automl.results import Trial

MAXIMUM_SHOWN = 20


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
    """What the run's own time bought, over what the earlier one had; nothing where it goes on from none."""
    if run is None or not run.progress:
        return ""
    best = (min if metric in LOSSES else max)(reached for _, reached in run.progress)
    data = "the same data" if run.same_data else "other data, so the scores are of other rows"
    return (
        f'<div class="card"><h3>What the extra time bought</h3><p class="small">{escape(run.run_id)} reached {escape(metric)} '
        f"{best:.4f} in {run.seconds:.0f} s; with {seconds:.0f} s more it is {score:.4f} ({score - best:+.4f}), on {data}."
        "</p></div>"
    )
