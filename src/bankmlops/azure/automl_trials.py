"""The trials of an AutoML run, read from the child runs that Azure keeps for them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bankmlops.azure.parallel import each
from bankmlops.azure.run_records import RunRecord, children_of, json_of, text_of
from bankmlops.types import ChildRun, RunStatus

CHILD = {"runTemplate": "automl_child"}


@dataclass(frozen=True, slots=True)
class Trial:
    """A finished child run. `score` is NaN where Azure did not write it into the run's properties."""

    sdk: Any
    record: RunRecord

    @property
    def algorithm(self) -> str:
        return text_of(self.record.properties, "run_algorithm")

    @property
    def score(self) -> float:
        return _number(self.record.properties.get("score"))

    @property
    def iteration(self) -> int:
        number = _number(self.record.properties.get("iteration"))
        return -1 if math.isnan(number) else int(number)


def finished_trials(run: Any) -> tuple[Trial, ...]:
    """The completed trials and ensembles of the SDK's run `run`."""
    return tuple(Trial(sdk, record) for sdk, record in children_of(run, CHILD) if record.status is RunStatus.COMPLETED)


def ended_trials(run: Any) -> tuple[Trial, ...]:
    """The trials and ensembles of the SDK's run `run` that have ended, however they did."""
    return tuple(Trial(sdk, record) for sdk, record in children_of(run, CHILD) if record.status.is_final)


def leaderboard(trials: Sequence[Trial], primary_metric: str) -> Sequence[ChildRun]:
    """The trials with their metrics, best first: every primary metric of classification is better when greater.

    The SDK asks for each metric of each trial by itself, so the trials are asked at once.
    """
    return sorted(each(lambda trial: _child(trial, primary_metric), trials), key=_rank)


def plain_metrics(metrics: Mapping[str, Any]) -> Mapping[str, float]:
    """The metrics that are one number; curves and confusion matrices are files, and a list ends with its newest value."""
    newest = {name: value[-1] if isinstance(value, list) and value else value for name, value in metrics.items()}
    return {
        name: float(value) for name, value in newest.items() if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _child(trial: Trial, primary_metric: str) -> ChildRun:
    record = trial.record
    metrics = plain_metrics(trial.sdk.get_metrics())
    return ChildRun(
        id=record.id,
        iteration=trial.iteration,
        algorithm=trial.algorithm,
        status=record.status,
        score=metrics.get(primary_metric, trial.score),
        metrics=metrics,
        parameters=_parameters(record.properties),
        seconds=record.seconds,
    )


def _rank(child: ChildRun) -> tuple[bool, float, float, int]:
    unknown = math.isnan(child.score)
    return unknown, 0.0 if unknown else -child.score, child.metrics.get("log_loss", math.inf), child.iteration


def _parameters(properties: Mapping[str, str]) -> Mapping[str, str]:
    """What the trial was made with: the preprocessor, and the last object of Azure's description of its pipeline."""
    preprocessor = text_of(properties, "run_preprocessor")
    objects = json_of(properties, "pipeline_spec").get("objects")
    last = objects[-1] if isinstance(objects, list) and objects and isinstance(objects[-1], dict) else {}
    arguments = last.get("param_kwargs")
    found = {str(name): str(value) for name, value in arguments.items()} if isinstance(arguments, dict) else {}
    return {"preprocessor": preprocessor, **found} if preprocessor else found


def _number(value: object) -> float:
    try:
        return float(value) if isinstance(value, str | int | float) else math.nan
    except ValueError:
        return math.nan
