"""What an AutoML run tells its caller: a trial when it ends, progress now and then, and the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from bankmlops.types import Parity, RunStatus


@dataclass(frozen=True, slots=True)
class Trial:
    """One row of the leaderboard: a configuration of a learner, or an ensemble of such.

    `score` is the primary metric on held-out rows (NaN where the trial has none), `metrics` bear Azure's names, `parameters` are
    scikit-learn's (an ensemble's: its members and weights), `seconds` is the time of all its fits together.
    """

    iteration: int
    algorithm: str
    status: RunStatus
    score: float
    metrics: Mapping[str, float]
    parameters: Mapping[str, str]
    seconds: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run leaves besides its files: the completed trials, best first, and how well the export repeats the winner.

    `stopped_early` says why the search ended before its time, or ""; `sampled_rows` how many rows it looked at, where not all;
    `seconds` what it took, with what it had taken before it was resumed.
    """

    trials: tuple[Trial, ...]
    winner: Trial
    parity: Parity
    input_example: Mapping[str, object]
    stopped_early: str = ""
    sampled_rows: int = 0
    seconds: float = 0.0


class Listener(Protocol):
    """Who follows a run; called from the thread that runs it."""

    def trial_ended(self, trial: Trial) -> None:
        """A trial has completed, failed or was given up."""

    def progressed(self, fraction: float, message: str) -> None:
        """How much of the budget is spent, from 0 to 1, and a line such as "trial 7, best accuracy 0.9161"."""
