"""The way into the registry: only a challenger that beat the champion it would replace, by more than chance."""

from __future__ import annotations

from bankmlops.backend import Backend
from bankmlops.errors import ConflictError, NotFoundError, RunFailedError
from bankmlops.online.champion import OWN_CHAMPION, may_follow
from bankmlops.online.report import OnlineReport
from bankmlops.online.scores import CHALLENGER, LEAST_ROWS
from bankmlops.types import Model


def promote(backend: Backend, report: OnlineReport, name: str, minimum_score: float | None = None) -> Model:
    """The challenger as the newest version of the model `name`; where it is that already, nothing is registered.

    Raises what `check_champion` and `check_gate` do, and what `Backend.register_model` does.
    """
    present = _newest(backend, name)
    if present and present.run_id == report.run_id:
        return present
    check_champion(report, present)
    check_gate(report, minimum_score)
    return backend.register_model(report.run_id, name)


def check_champion(report: OnlineReport, present: Model | None) -> None:
    """Raise `ConflictError` where the challenger was compared with another model than that which it would replace."""
    named = f"{present.name}:{present.version}" if present else report.champion
    if present and named != report.champion:
        fresh = "" if may_follow(named, report.champion) else " --fresh"
        raise ConflictError(
            f"the challenger was compared with {report.champion or OWN_CHAMPION}, and would replace {named}: no model was "
            f"registered; `bankmlops online run {report.name} --model {present.name}{fresh}` on the same stream compares these"
        )


def check_gate(report: OnlineReport, minimum_score: float | None = None) -> None:
    """Raise `RunFailedError` where the challenger is no better than the champion, or by so little that it may be chance.

    `minimum_score` is of its AUC_weighted, over all that was scored.
    """
    found = report.comparison
    ranks = next(score.AUC_weighted for score in report.scores if score.policy == CHALLENGER)
    if minimum_score is not None and not ranks >= minimum_score:
        raise RunFailedError(f"AUC_weighted is {ranks:.4f}, below the gate of {minimum_score:g}: no model was registered")
    if found.rows < LEAST_ROWS:
        raise RunFailedError(
            f"{found.rows:,} labels were scored against {report.champion or OWN_CHAMPION}, of which a comparison may be chance; "
            f"{LEAST_ROWS} or more would serve: no model was registered"
        )
    if not found.is_better:
        raise RunFailedError(
            f"on the newest {found.rows:,} labels the challenger's log loss is {found.challenger:.4f} and the champion's "
            f"{found.champion:.4f}, which may be chance (at least {found.at_least:+.4f} better): no model was registered"
        )


def _newest(backend: Backend, name: str) -> Model | None:
    try:
        return backend.get_model(name)
    except NotFoundError:
        return None
